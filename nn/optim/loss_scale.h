/* Dynamic loss scaling for f16, whose gradients would otherwise vanish: the loss's gradient is
 * multiplied by a scale, AdamW divides it out again. A step whose gradient is not finite changes
 * nothing (core/ops/adamw.h), and halves the scale; 2,000 good steps in a row double it. In every
 * other dtype the scale stays 1.
 * Source: Micikevicius et al., arXiv:1710.03740, section 3.2. */
#pragma once

#include "core/dtype.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct LossScale {
    double scale;
    int64_t good_steps; /* since it last changed */
    int64_t updates;    /* of the weights so far: AdamW's t, less one */
} LossScale;

LossScale loss_scale_start(DType dtype);

/* After a step. False where it must count as a failure: not finite, and no scale left that could be
 * too large. */
bool loss_scale_update(LossScale *state, DType dtype, bool finite);
