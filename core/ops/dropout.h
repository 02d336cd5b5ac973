/* dropout: y = x * mask / (1 - p), where element i is kept with probability 1 - p.
 *
 * The mask is a function of (seed, step, stream, index in the global batch) and is recomputed in
 * backward: nothing is stored, and the mask does not depend on the distribution of the batch over
 * ranks and micro-batches. Source: Srivastava et al. 2014, section 4, in the inverted form. */
#pragma once

#include "core/program.h"

typedef struct DropoutAttrs {
    double probability;
    uint32_t stream;
    bool accumulate;
} DropoutAttrs;

/* inputs x, step; outputs y (..., C). The first dimension is the batch. The gradient is the same
 * op, applied to dy. */
extern const Op dropout_op;

/* Records y; returns x if p is 0 or the program does not train. `step` is the u8 tensor of the
 * StepState. */
Tensor *dropout_record(Program *p, Tensor *x, double probability, Tensor *step);
