/* The planned memory of a run by kind, for --plan and plan.json. */
#pragma once

#include "launch/run/experiment.h"

#include <stdio.h>

/* Prints the kinds, their sum, the capacity, the process's base, tokens per step, on a GPU the
 * predicted time of a step, and the largest batch of each backend. Not collective. */
NODISCARD Status memory_print(const Experiment *e, FILE *file);

/* Writes the same as plan.json, completely or not at all. Errors: STATUS_FAILURE. */
NODISCARD Status memory_write(const Experiment *e, const char *path);

/* Resident bytes of this process: before the first allocation its base, which is not in the
 * plan. */
size_t memory_resident(void);
