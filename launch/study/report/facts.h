/* How the runs of a study went, from their attempts.log: when, how often they started, and how
 * often they continued after an interruption. */
#pragma once

#include "launch/study/report/results.h"

typedef struct Facts {
    const char *first, *last; /* times of the first start and the last end, UTC; "" if unknown */
    size_t starts, interruptions; /* of all runs, candidates included */
    size_t unreadable;            /* runs that are not counted */
} Facts;

/* Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status facts_read(Results *results, Facts *out);
