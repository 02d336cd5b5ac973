/* Run lock: one run in a directory. A lock of the open file (fcntl, F_OFD_SETLK), so that it ends
 * with the process, however that ends. Rank 0 takes it; not collective. */
#pragma once

#include "core/status.h"

#include <stdbool.h>

typedef struct RunLock RunLock;

/* Locks DIR/run.lock, which stays behind as an empty file. Errors: STATUS_FAILURE naming host and
 * process of the run that holds it, or why the file cannot be made. */
NODISCARD Status run_lock_take(const char *dir, RunLock **out);

/* False where the file system has no locks (some network mounts): the run goes on, and its log
 * should say so. */
bool run_lock_is_held(const RunLock *lock);

/* Whether taking it made the file, which was not there before. */
bool run_lock_is_new(const RunLock *lock);

void run_lock_release(RunLock **lock);

/* Whether a run is using this directory now, on this host or another. Takes nothing. */
bool run_lock_is_taken(const char *dir);
