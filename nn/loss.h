/* The language-model loss: logits = x wte^T, cross-entropy against the next tokens.
 *
 * Logits would be the largest tensor, so the program computes them in chunks of rows. In training a
 * chunk is overwritten with its gradient, which is added to dx and dwte at once. The full logits
 * never exist. */
#pragma once

#include "core/ops/linear_gradient.h"

typedef struct LossOptions {
    int64_t V;           /* columns of the softmax; wte's rows beyond are padding */
    double scale;        /* of the gradient: 1 / tokens of the global batch that count */
    size_t logits_bytes; /* a chunk of logits is at most this large (at least one row) */
    Tensor *step;
    const LinearF8 *layer; /* the products of x and wte in programs that train; NULL: none in eight
                              bits */
    double softcap;        /* of the logits: core/ops/cross_entropy.h; 0: none */
} LossOptions;

/* losses (B, T), f32 (f64 for f64) = cross-entropy of each position. x (B, T, C), wte (Vp, C),
 * targets (B, T) i32, in which CROSS_ENTROPY_IGNORED gives loss 0: see core/ops/cross_entropy.h. A
 * program that trains also records the gradients of x and wte. */
void loss_record(Program *p, const Tensor *losses, Tensor *x, Tensor *wte, const Tensor *targets,
                 const LossOptions *options);
