/* The cost of a study: points, hours and joules, for --dry-run. */
#pragma once

#include "launch/study/study.h"

#include <stdio.h>

/* Prints the budgets of tuning, trunks and points, the hours on one machine at `parallel` points at
 * a time, and the joules. A budget in time is known; steps and tokens count by the rate of a point
 * of the study that has run. Joules are by the power of such points. `ranks`, `parallel`: 0 selects
 * the config's. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status cost_print(const Study *study, int64_t ranks, int64_t parallel, FILE *file);
