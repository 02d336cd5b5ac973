/* cross_entropy: losses[i] = log(sum_v exp(logits[i, v])) - logits[i, target[i]], over v < V.
 *
 *   logits (rows, Vp)   targets (rows) i32 in [0, V)   losses (rows), f32 or f64
 *
 * Columns from V to Vp are padding: they are kept out of the softmax and get a zero gradient. Where the program trains,
 * the gradient (softmax - onehot) * scale * loss_scale replaces the logits in place, in the same pass. */
#pragma once

#include "core/program.h"

typedef struct CrossEntropyAttrs {
    int64_t V;
    double scale;  /* of the gradient: 1 / (tokens of the global batch) */
    bool gradient; /* whether the logits become their gradient */
} CrossEntropyAttrs;

/* inputs targets, step; outputs losses, logits (read, then their gradient). */
extern const Op cross_entropy_op;

void cross_entropy_record(Program *p, Tensor *losses, Tensor *logits, Tensor *targets, int64_t V, double scale,
                          Tensor *step);
