/* Replacement: a file that is replaced whole or not at all. It grows beside its target under a name
 * of its own, `.NAME.TAG.hourglass`, which is made with O_EXCL, so that no file of anybody's is
 * ever opened or cut. TAG is a hash of NAME and of the file's own inode number: a file whose tag is
 * right, and whose lock nobody holds, was left by a writer of ours that is dead. Only such files
 * are removed (replacement_clean), and empty ones with a name of that form. The mode is 0666 less
 * the umask. Not collective.
 *
 *   Replacement *new;
 *   TRY(replacement_begin(path, &new));
 *   status = replacement_write(new, bytes, n);
 *   status = replacement_end(&new, status); */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct Replacement Replacement;

/* Opens the new file beside `path`; what dead writers of the same name left is removed. A link at
 * `path` will be replaced, not followed. Errors: STATUS_FAILURE, nothing is left then. */
NODISCARD Status replacement_begin(const char *path, Replacement **out);

/* The descriptor to write to, and the target's path. Both stay the replacement's. */
int replacement_fd(const Replacement *replacement);
const char *replacement_path(const Replacement *replacement);

/* Appends bytes. Errors: STATUS_FAILURE naming the target. */
NODISCARD Status replacement_write(Replacement *replacement, const void *bytes, size_t n);

/* From now on replacement_commit refuses where something is at the target: STATUS_DATA, and that
 * stays as it is. */
void replacement_keep_old(Replacement *replacement);

/* Syncs the file, gives it its name and syncs the directory. Where it fails the old file is there
 * as before, unless only the directory could not be synced. Errors: STATUS_FAILURE; STATUS_DATA
 * after replacement_keep_old. */
NODISCARD Status replacement_commit(Replacement *replacement);

/* replacement_commit for files that belong together: either all have their names at the end or all
 * old ones are back, as far as the file system has hard links. A process that is killed in the
 * midst of it may leave some new ones. */
NODISCARD Status replacement_commit_all(Replacement *const *replacements, size_t n);

/* Why replacement_write or replacement_commit failed last, as errno. */
int replacement_error(const Replacement *replacement);

/* Removes the new file where it has not got its name, and frees. NULL-safe. Sets no error: a
 * message stays. */
void replacement_destroy(Replacement **replacement);

/* Commits where `status` is OK, and destroys. The first failure of both. */
NODISCARD Status replacement_end(Replacement **replacement, Status status);

/* Gives what lies at `path`, which is somebody else's or of no use, the free name PATH.aside-N, N
 * from 1, which `to` (NULL: not wanted) is then told. Nothing there: OK, and "". Errors:
 * STATUS_FAILURE. */
NODISCARD Status replacement_set_aside(const char *path, char *to, size_t room);

/* Removes what dead writers left in a directory: of the target NAME, or of any where `name` is
 * NULL. What cannot be removed waits for the next time. */
void replacement_clean(const char *directory, const char *name);
