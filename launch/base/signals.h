/* What a run does about signals. SIGUSR1 asks for a checkpoint and exit 75. SIGTERM, SIGINT and
 * SIGHUP ask the same where there is time for it, and else to stop at once: mpirun kills a second
 * later (docs/failures.md). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Ordered: where several ranks ask for different things, the greatest wins. */
typedef enum StopRequest { STOP_NONE, STOP_BUDGET, STOP_SAVE, STOP_NOW } StopRequest;

/* First in main: SIGUSR1 is noted; SIGTERM, SIGINT and SIGHUP still end the process, for nobody
 * looks at requests yet. */
void signals_prepare(void);

/* From here on SIGTERM, SIGINT and SIGHUP (unless it was ignored) are requests too. A second
 * SIGTERM or SIGINT kills. */
void signals_install(void);

/* What has been asked of this rank so far. */
StopRequest signals_request(void);

/* The signal behind STOP_NOW, which messages name; 0 where there was none. */
int signals_number(void);

/* Seconds since it came; 0 where there was none. */
double signals_age(void);
