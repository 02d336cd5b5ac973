/* Groups by kind of parameter. */
#pragma once

#include "nn/parameters.h"

/* The updates of one kind of parameter. */
typedef struct GroupOptions {
    const Optimizer *optimizer; /* a matrix optimizer never for PARAMETER_VECTOR */
    OptimizerOptions options;
    double lr_scale, weight_decay;
} GroupOptions;

/* AdamW for all kinds; only vectors do not decay. */
void groups_adamw(GroupOptions kinds[PARAMETER_KINDS], OptimizerOptions options,
                  double weight_decay);

/* Adds a group for each kind to parameters that are not laid out yet; kinds with AdamW and equal
 * options share one, except vectors. `pattern`: of names as in a shell; NULL: all. Errors:
 * STATUS_OUT_OF_MEMORY. */
NODISCARD Status groups_add(Parameters *parameters, const char *pattern,
                            const GroupOptions kinds[PARAMETER_KINDS]);
