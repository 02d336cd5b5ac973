/* Start watch: no start hangs. Before watchdog_create and after watchdog_destroy, ranks wait for
 * each other in MPI calls and in agreements about the config. A thread detects a stopped rank of
 * this host from its state in /proc, and a wait in MPI that exceeds its limit. It prints one line
 * with the rank and its activity, and ends this rank; the launcher then ends the others.
 *
 *   train: error: rank 1 on host7 stopped responding 6.0 s ago, while rank 0 is in MPI_Init; all
 *   ranks end (exit 1) */
#pragma once

#include "core/status.h"

/* Starts the thread. Call it before MPI_Init, and only if an MPI launcher started this process.
 * Errors: STATUS_FAILURE. */
NODISCARD Status start_watch_begin(const char *program);

/* Sets the current activity of this rank, a string literal, and its limit in seconds; 0: no limit.
 * Main thread. */
void start_watch_phase(const char *activity, double seconds);

/* From now on the same activity has another limit, which counts from here. Main thread. */
void start_watch_limit(double seconds);

/* Stops watching; the watchdog takes over. The next start_watch_phase resumes. */
void start_watch_pause(void);
