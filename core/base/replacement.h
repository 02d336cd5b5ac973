/* Replacement: replaces a whole file, or leaves it unchanged. The new content grows in a temporary
 * file beside the target, `.NAME.TAG.hourglass`, created with O_EXCL, so no existing file is opened
 * or truncated. TAG is a hash of NAME and of the inode number of the temporary file. A file with a
 * matching tag and no lock was left by a dead writer of this project. Only such files, and empty
 * ones with a name of that form, are removed (replacement_clean). The mode is 0666 less the umask.
 * Not collective.
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

/* Opens the temporary file beside `path`; removes leftovers of dead writers of the same name. A
 * link at `path` will be replaced, not followed. Errors: STATUS_FAILURE, without a temporary
 * file. */
NODISCARD Status replacement_begin(const char *path, Replacement **out);

/* The descriptor for writing, the path of the temporary file (before the commit), and that of the
 * target. The replacement owns them. */
int replacement_fd(const Replacement *replacement);
const char *replacement_temporary(const Replacement *replacement);
const char *replacement_path(const Replacement *replacement);

/* Whether a file that a user names may be replaced: if there is none, if it is empty, or if it
 * begins with one of `starts`, NULL-terminated, as those of this project do. Errors: STATUS_DATA
 * `PATH: not WHAT, so it is not replaced`, STATUS_FAILURE if it cannot be read. */
NODISCARD Status replacement_check(const char *path, const char *const *starts, const char *what);

/* Appends bytes. Errors: STATUS_FAILURE naming the target. */
NODISCARD Status replacement_write(Replacement *replacement, const void *bytes, size_t n);

/* The same by file_write_direct. */
NODISCARD Status replacement_write_direct(Replacement *replacement, const void *bytes, size_t n);

/* Makes replacement_commit fail with STATUS_DATA if anything exists at the target, and leave it
 * unchanged. */
void replacement_keep_old(Replacement *replacement);

/* Syncs the file, renames it to the target and syncs the directory. On failure the old file is
 * unchanged, unless only the directory could not be synced. Errors: STATUS_FAILURE; STATUS_DATA
 * after replacement_keep_old. */
NODISCARD Status replacement_commit(Replacement *replacement);

/* replacement_commit for files that belong together: either all get their names or all old files
 * are restored, if the file system has hard links. A process that is killed meanwhile may leave
 * some new files. */
NODISCARD Status replacement_commit_all(Replacement *const *replacements, size_t n);

/* errno of the last failure of replacement_write or replacement_commit. */
int replacement_error(const Replacement *replacement);

/* Removes the temporary file if it has not been renamed, and frees. NULL-safe. Does not change the
 * error message. */
void replacement_destroy(Replacement **replacement);

/* Commits if `status` is OK, and destroys. Returns the first failure. */
NODISCARD Status replacement_end(Replacement **replacement, Status status);

/* Renames `path`, which is foreign or useless, to the first free name PATH.aside-N, N from 1, and
 * copies that name to `to` (may be NULL). If nothing exists there: OK, and "". Errors:
 * STATUS_FAILURE. */
NODISCARD Status replacement_set_aside(const char *path, char *to, size_t capacity);

/* Copies a file to `to`, where it is complete and durable when this returns; moves aside what is
 * there. Errors: STATUS_FAILURE; `to` is then unchanged. */
NODISCARD Status replacement_copy(const char *from, const char *to);

/* Removes leftovers of dead writers from a directory: of the target `name`, or of any target if
 * NULL. A failed removal is tried again next time. */
void replacement_clean(const char *directory, const char *name);
