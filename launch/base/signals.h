/* Signals of a run. SIGUSR1 requests a checkpoint and exit code 75. SIGTERM, SIGINT and SIGHUP
 * request the same if there is enough time, otherwise an immediate stop: mpirun kills a second
 * later (docs/failures.md). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Ordered: if several ranks have different requests, the greatest wins. */
typedef enum StopRequest { STOP_NONE, STOP_BUDGET, STOP_SAVE, STOP_NOW } StopRequest;

/* Call first in main. SIGUSR1 is recorded; SIGTERM, SIGINT and SIGHUP still end the process,
 * because requests are not polled yet. */
void signals_prepare(void);

/* From now on SIGTERM, SIGINT and SIGHUP (unless ignored) are requests too. A second SIGTERM or
 * SIGINT kills. */
void signals_install(void);

/* The greatest request to this rank so far. */
StopRequest signals_request(void);

/* Sleeps, at most until there is a request that is at least this one. */
void signals_sleep(double seconds, StopRequest least);

/* The signal of STOP_NOW, for messages; 0 if there was none. */
int signals_number(void);

/* Seconds since that signal; 0 if there was none. */
double signals_age(void);
