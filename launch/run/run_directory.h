/* The directory of a run or a study: a new one is made, one's own is gone on with, anything else is
 * left alone. Rank 0 alone calls this; nothing here is collective. */
#pragma once

#include "core/status.h"
#include "launch/run/run_lock.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct DirectoryKind {
    /* first: the file that is written before all others, by which it is known. */
    const char *noun, *first;
    const char *chosen_by; /* what names another directory: keys of the config, or an argument */
    StatusCode wrong;      /* where that one will not do */
} DirectoryKind;

extern const DirectoryKind directory_of_a_run, directory_of_a_study, directory_of_a_conversion;

typedef struct RunDirectory {
    const char *path; /* borrowed; NULL: not taken */
    const DirectoryKind *kind;
    size_t made; /* for directory_undo */
    RunLock *lock;
} RunDirectory;

/* Makes what is missing of `path`, locks it, and checks under the lock what is in it. `resumes`:
 * what is there of its kind is gone on with. What a start left that was killed while it wrote its
 * first file goes; so does all that this call makes, where it fails. Errors: the kind's code where
 * the directory holds something else, or its kind and `resumes` is not set; STATUS_FAILURE where
 * another process uses it, or it cannot be made or read. */
NODISCARD Status run_directory_take(const char *path, const DirectoryKind *kind, bool resumes,
                                    RunDirectory *out);

/* Gives the lock back. Where there is no first file nor summary.json yet, nothing that was made
 * stays. */
void run_directory_release(RunDirectory *directory);

/* Whether the directory holds an entry of this name. Errors: STATUS_FAILURE where that cannot be
 * told. */
NODISCARD Status run_directory_has(const char *path, const char *name, bool *out);
