/* What a run does about signals: SIGUSR1 asks for a checkpoint and exit 75; SIGTERM and SIGINT ask to stop at once,
 * leaving the last checkpoint as it is, since mpirun kills a second later (docs/checkpoints.md). */
#pragma once

#include <stdint.h>

/* Ordered: where several ranks ask for different things, the greatest wins. */
typedef enum StopRequest { STOP_NONE, STOP_BUDGET, STOP_SAVE, STOP_NOW } StopRequest;

void signals_install(void);

/* What has been asked of this rank so far. */
StopRequest signals_request(void);

/* The signal behind STOP_NOW, which messages name; 0 where there was none. */
int signals_number(void);
