/* The directory of a run or a study: creates a new one, continues in an existing one of the same
 * kind, refuses any other. Rank 0 calls this; not collective. */
#pragma once

#include "core/status.h"
#include "launch/run/run_lock.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct DirectoryKind {
    /* first: the file that is written before all others and identifies the kind */
    const char *noun, *first;
    const char *chosen_by; /* the keys or the argument that choose the directory, for messages */
    StatusCode wrong;      /* the status for a directory of another kind */
} DirectoryKind;

extern const DirectoryKind directory_of_a_run, directory_of_a_study, directory_of_a_conversion;

typedef struct RunDirectory {
    const char *path; /* borrowed; NULL: not taken */
    const DirectoryKind *kind;
    size_t made; /* for directory_undo */
    RunLock *lock;
} RunDirectory;

/* Creates the missing part of `path`, locks it, and checks its content under the lock. `resumes`:
 * continue with existing content of this kind. Removes the leftovers of a start that was killed
 * while it wrote its first file, and on failure all that this call created. Errors: the status of
 * the kind for other content, or for content of this kind without `resumes`; STATUS_FAILURE if
 * another process uses the directory, or it cannot be created or read. */
NODISCARD Status run_directory_take(const char *path, const DirectoryKind *kind, bool resumes,
                                    RunDirectory *out);

/* Releases the lock. Without a first file or a summary.json it removes everything that it
 * created. */
void run_directory_release(RunDirectory *directory);

/* Fails if this process may not write what a run writes there, or if the file system is read-only:
 * what no retry mends. Before the directory exists, the one that it would be made in counts. */
NODISCARD Status run_directory_check_writable(const char *path);

/* Whether the directory holds an entry of this name. Errors: STATUS_FAILURE if it cannot be
 * read. */
NODISCARD Status run_directory_has(const char *path, const char *name, bool *out);
