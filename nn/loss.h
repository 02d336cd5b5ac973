/* The language-model loss: logits = x wte^T, cross-entropy against the next tokens.
 *
 * Logits are the largest tensor of all, so they are made a chunk of rows at a time, and where the
 * program trains, the chunk becomes its own gradient and goes straight into dx and dwte: the whole
 * of them never exists. */
#pragma once

#include "core/program.h"

typedef struct LossOptions {
    int64_t V;           /* columns of the softmax; wte's rows beyond are padding */
    double scale;        /* of the gradient: 1 / tokens of the global batch that count */
    size_t logits_bytes; /* a chunk of logits is at most this large (at least one row) */
    Tensor *step;
} LossOptions;

/* losses (B, T), f32 (f64 for f64) = cross-entropy of each position. x (B, T, C), wte (Vp, C),
 * targets (B, T) i32, of which CROSS_ENTROPY_IGNORED counts as 0: see core/ops/cross_entropy.h.
 * Where the program trains, the gradients of x and wte are recorded too. */
void loss_record(Program *p, const Tensor *losses, Tensor *x, Tensor *wte, const Tensor *targets,
                 const LossOptions *options);
