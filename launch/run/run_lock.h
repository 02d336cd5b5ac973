/* Run lock: at most one run in a directory. It is a lock of the open file (fcntl, F_OFD_SETLK),
 * which the system releases when the process ends. Rank 0 takes it; not collective. */
#pragma once

#include "core/status.h"

#include <stdbool.h>

typedef struct RunLock RunLock;

/* Locks DIR/run.lock, which remains as an empty file. Errors: STATUS_FAILURE naming the host and
 * process that hold it, or the reason why the file cannot be created; STATUS_CONFIG for a file of
 * this name that no run has written. */
NODISCARD Status run_lock_take(const char *dir, RunLock **out);

/* False on a file system without locks, such as some network mounts: the run continues, and its
 * log should warn. */
bool run_lock_is_held(const RunLock *lock);

/* Whether run_lock_take created the file. */
bool run_lock_is_new(const RunLock *lock);

/* Looks whether the lock is still at its path, by two calls of stat. If the file was removed or
 * replaced, locks the one that is there now, or a new one, and sets *was_lost; run_lock_is_held is
 * false afterwards if neither can be had. Errors: STATUS_FAILURE if another process holds it. */
NODISCARD Status run_lock_check(const char *dir, RunLock *lock, bool *was_lost);

void run_lock_release(RunLock **lock);

/* Whether a run uses this directory now, on this host or another. Does not take the lock. */
bool run_lock_is_taken(const char *dir);
