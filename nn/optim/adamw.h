/* AdamW for parameter groups: states m and v, and one op for all buckets that are updated together.
 * The formula is in core/ops/adamw.h. */
#pragma once

#include "nn/optim/optimizer.h"

extern const Optimizer adamw_optimizer;
