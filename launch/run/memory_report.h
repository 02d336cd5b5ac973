/* The memory of a run by kind, known before it starts: what --plan prints and plan.json holds. */
#pragma once

#include "launch/run/experiment.h"

#include <stdio.h>

/* The table for people: kinds, their sum, what may be taken, the process's base, tokens a step; on
 * a GPU the predicted time of a step; and the largest batch of each backend. Not collective. */
NODISCARD Status memory_print(const Experiment *e, FILE *file);

/* The same as plan.json; whole or not at all. Errors: STATUS_FAILURE. */
NODISCARD Status memory_write(const Experiment *e, const char *path);

/* Bytes that this process itself has taken and touched: before anything is allocated, the base
 * beside the plan. */
size_t memory_resident(void);
