/* AdamW for parameter groups: the states m and v, one op for all buckets that are updated at once.
 * The formula stands in core/ops/adamw.h. */
#pragma once

#include "nn/optim/optimizer.h"

extern const Optimizer adamw_optimizer;
