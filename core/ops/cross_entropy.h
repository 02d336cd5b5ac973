/* cross_entropy: losses[i] = log(sum_v exp(z[i, v])) - z[i, target[i]], over v < V, with z =
 * logits, or z = softcap tanh(logits / softcap) if softcap is not 0. -infinity is not capped.
 *
 *   logits (rows, Vp)
 *   targets (rows) i32, in [0, V) or CROSS_ENTROPY_IGNORED
 *   losses (rows) f32 or f64
 *
 * Columns from V to Vp are padding: their values do not affect the softmax, and their gradient is
 * zero. If the program trains, the gradient (softmax - onehot) * scale * loss_scale, times
 * 1 - (z / softcap)^2 with a softcap, replaces the logits in place, in the same pass.
 *
 * A row with target CROSS_ENTROPY_IGNORED has loss 0 and gradient 0 for any logits. The caller
 * chooses the divisor of the mean through `scale`, and decides whether ignored rows count. Any
 * other target outside [0, V) makes the row's loss and gradient NaN.
 *
 * With `q`, the gradient is written there instead, in eight bits as by core/ops/quantize.h, and the
 * logits are undefined afterwards: core/passes/fuse_quantize.h. On a GPU `observed` sees the
 * gradients of the targets alone, which are the greatest of their rows.
 *
 * Source of the softcap: Gemma 2, arXiv:2408.00118, section 2. */
#pragma once

#include "core/program.h"

enum { CROSS_ENTROPY_IGNORED = -1 };

typedef struct CrossEntropyAttrs {
    int64_t V;
    double scale;   /* of the gradient: 1 / (number of counted tokens in the global batch) */
    double softcap; /* 0: none */
    bool gradient;  /* whether to replace the logits by their gradient */
} CrossEntropyAttrs;

/* Positions of the inputs and outputs that only the fused op has. */
enum { CROSS_ENTROPY_SCALE = 2, CROSS_ENTROPY_Q = 2, CROSS_ENTROPY_OBSERVED };

/* inputs targets, step, scale of q|NULL; outputs losses, logits (read, then their gradient),
 * q|NULL, observed|NULL. */
extern const Op cross_entropy_op;

/* attrs.gradient is set here, to p->training.
 *   Errors: STATUS_CONFIG if softcap is negative or not finite. */
void cross_entropy_record(Program *p, Tensor *losses, Tensor *logits, Tensor *targets,
                          CrossEntropyAttrs attrs, Tensor *step);
