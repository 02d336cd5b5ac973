/* cross_entropy: losses[i] = log(sum_v exp(logits[i, v])) - logits[i, target[i]], over v < V.
 *
 *   logits (rows, Vp)
 *   targets (rows) i32, in [0, V) or CROSS_ENTROPY_IGNORED
 *   losses (rows) f32 or f64
 *
 * Columns from V to Vp are padding: their values do not affect the softmax, and their gradient is
 * zero. If the program trains, the gradient (softmax - onehot) * scale * loss_scale replaces the
 * logits in place, in the same pass.
 *
 * A row with target CROSS_ENTROPY_IGNORED has loss 0 and gradient 0 for any logits. The caller
 * chooses the divisor of the mean through `scale`, and decides whether ignored rows count. Any
 * other target outside [0, V) makes the row's loss and gradient NaN. */
#pragma once

#include "core/program.h"

enum { CROSS_ENTROPY_IGNORED = -1 };

typedef struct CrossEntropyAttrs {
    int64_t V;
    double scale;  /* of the gradient: 1 / (number of counted tokens in the global batch) */
    bool gradient; /* whether to replace the logits by their gradient */
} CrossEntropyAttrs;

/* inputs targets, step; outputs losses, logits (read, then their gradient). */
extern const Op cross_entropy_op;

void cross_entropy_record(Program *p, Tensor *losses, Tensor *logits, Tensor *targets, int64_t V,
                          double scale, Tensor *step);
