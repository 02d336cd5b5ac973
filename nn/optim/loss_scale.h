/* Dynamic loss scaling for f16, whose gradients would otherwise underflow: the gradient of the loss
 * is multiplied by a scale, and AdamW divides by it. A step with a non-finite gradient is skipped
 * (core/ops/adamw.h) and halves the scale; 2,000 finite steps in a row double it. In other dtypes
 * the scale stays 1.
 * Source: Micikevicius et al., arXiv:1710.03740, section 3.2. */
#pragma once

#include "core/dtype.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct LossScale {
    double scale;
    int64_t good_steps; /* since the last change of the scale */
    int64_t updates;    /* updates of the weights so far: AdamW's t - 1 */
} LossScale;

LossScale loss_scale_start(DType dtype);

/* Call it after each step. False if the step failed: its gradient is not finite, and the scale is
 * too small to be the reason. */
bool loss_scale_update(LossScale *state, DType dtype, bool finite);
