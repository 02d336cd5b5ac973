/* The default groups: matrices, whose weights decay, and vectors (biases, norms), whose do not. */
#pragma once

#include "nn/parameters.h"

/* Adds both to parameters that are not laid out yet. Errors: STATUS_NO_ROOM. */
NODISCARD Status groups_add_default(Parameters *parameters, const Optimizer *optimizer,
                                    OptimizerOptions options, double weight_decay);
