/* cross_entropy: losses[i] = log(sum_v exp(logits[i, v])) - logits[i, target[i]], over v < V.
 *
 *   logits (rows, Vp)   targets (rows) i32, in [0, V) or CROSS_ENTROPY_IGNORED   losses (rows), f32
 *                       or f64
 *
 * Columns from V to Vp are padding: whatever they hold, they are kept out of the softmax and get a
 * zero gradient. Where the program trains, the gradient (softmax - onehot) * scale * loss_scale
 * replaces the logits in place, in the same pass.
 *
 * A row whose target is CROSS_ENTROPY_IGNORED has loss 0 and gradient 0, whatever its logits. The
 * divisor of a mean stays the caller's: `scale` counts rows where the caller counts them. Any other
 * target outside [0, V) makes the row's loss and gradient NaN. */
#pragma once

#include "core/program.h"

enum { CROSS_ENTROPY_IGNORED = -1 };

typedef struct CrossEntropyAttrs {
    int64_t V;
    double scale;  /* of the gradient: 1 / (tokens of the global batch that count) */
    bool gradient; /* whether the logits become their gradient */
} CrossEntropyAttrs;

/* inputs targets, step; outputs losses, logits (read, then their gradient). */
extern const Op cross_entropy_op;

void cross_entropy_record(Program *p, Tensor *losses, Tensor *logits, Tensor *targets, int64_t V,
                          double scale, Tensor *step);
