/* linear: y = x w^T + bias, with an optional GELU on top, and its three products backward.
 *
 *   x (..., K)   w (N, K)   bias (N) or NULL   y (..., N)
 *
 * The bias, the GELU and their gradients ride on the products, so that a device may fuse them
 * (cuBLASLt's epilogues). */
#pragma once

#include "core/program.h"

enum { LINEAR_BIAS_PARTS = 16, LINEAR_BIAS_PARTS_CUDA = 128 }; /* row parts of a bias gradient */

typedef struct LinearAttrs {
    bool gelu; /* linear: y = gelu(x w^T + bias), and outputs[1] keeps the argument of the GELU */
    bool accumulate; /* linear_dx, linear_dw: add to the output */
    bool accumulate_bias;
} LinearAttrs;

/* inputs x, w, bias|NULL; outputs y, pre|NULL (the GELU's argument, kept for backward). */
extern const Op linear_op;

/* dx = dy w, times gelu'(pre) where inputs[2] is given: inputs dy, w, pre|NULL; outputs dx. */
extern const Op linear_dx_op;

/* dw = dy^T x and db = column sums of dy: inputs dy, x; outputs dw, db|NULL. */
extern const Op linear_dw_op;

/* Records y = x w^T + bias, or gelu of it. Shapes as above; STATUS_CONFIG where they do not fit. */
Tensor *linear_record(Program *p, Tensor *x, Tensor *w, Tensor *bias, bool gelu);

/* Records the products of the gradient for a known dy; used by the loss, which knows its dy at
 * once. */
void linear_gradient_record(Program *p, Tensor *dy, Tensor *x, Tensor *w, Tensor *bias);

/* Records y = x w^T into a given tensor, without gradient: the loss's logits, a chunk at a time. */
void linear_into(Program *p, Tensor *y, Tensor *x, Tensor *w);
