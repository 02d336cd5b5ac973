/* The default groups: matrices, with weight decay, and vectors (biases, norms), without. */
#pragma once

#include "nn/parameters.h"

/* Adds both groups to parameters that are not laid out yet. Errors: STATUS_NO_ROOM. */
NODISCARD Status groups_add_default(Parameters *parameters, const Optimizer *optimizer,
                                    OptimizerOptions options, double weight_decay);
