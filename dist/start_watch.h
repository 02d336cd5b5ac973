/* Start watch: no start hangs. Before the watchdog is there, and once it has gone, ranks wait for
 * each other in MPI's own calls and in agreements about the config. A thread sees a rank of this
 * host that is stopped, by its state in /proc, and a wait in MPI that has no end; says it in one
 * line, with the rank and what was being done, and ends this rank: the launcher then ends the
 * others.
 *
 *   train: error: rank 1 on host7 stopped responding 6.0 s ago, while rank 0 is in MPI_Init; all
 *   ranks end (exit 1) */
#pragma once

#include "core/status.h"

/* Starts the thread. Before MPI_Init; only where a launcher of MPI started this process. Errors:
 * STATUS_FAILURE. */
NODISCARD Status start_watch_begin(const char *program);

/* What this rank does from now on, a literal, and for how many seconds at most; 0: without a limit.
 * Main thread. */
void start_watch_phase(const char *activity, double seconds);

/* From now on the watchdog sees to it; a further start_watch_phase goes on here. */
void start_watch_pause(void);
