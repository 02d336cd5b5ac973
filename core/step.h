/* StepState: all values that change from step to step, in one small device buffer, so that a
 * recorded program and a captured CUDA graph stay constant. The host writes it before each replay;
 * kernels read it. */
#pragma once

#include <stdint.h>

typedef struct StepState {
    uint64_t seed;        /* of the run; the key of every random number */
    uint64_t step;        /* optimizer step, from 0; the counter of dropout masks */
    int64_t first_sample; /* index in the global batch of row 0 of this micro-batch: makes masks
                             independent of the ranks */
    int64_t adam_step; /* from 1: number of this update of the moments, the exponent in AdamW's bias
                          correction; skipped steps do not count, those before a branch do */
    float lr;          /* learning rate of this step */
    float loss_scale;  /* f16: multiplies the gradient of the loss; otherwise 1 */
} StepState;
