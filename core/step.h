/* StepState: everything that changes from step to step, in one small device buffer, so that a
 * recorded program (and a captured CUDA graph) stays the same. Kernels read it; the host writes it
 * before each replay. */
#pragma once

#include <stdint.h>

typedef struct StepState {
    uint64_t seed;        /* of the run: the key of every random number */
    uint64_t step;        /* optimizer step, from 0; counter of dropout masks */
    int64_t first_sample; /* index in the global batch of this micro-batch's row 0: masks do not
                             depend on the ranks */
    int64_t
        adam_step; /* from 1: the exponent in AdamW's bias correction; skipped steps do not count */
    float lr;      /* this step's learning rate */
    float loss_scale; /* f16: multiplies the loss's gradient; 1 elsewhere */
} StepState;
