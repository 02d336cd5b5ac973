/* linear: y = x w^T + bias, with an optional GELU on top. Its gradient: core/ops/linear_gradient.h.
 *
 *   x (..., K)   w (N, K)   bias (N) or NULL   y (..., N)
 *
 * The bias and the GELU belong to the op, so a device can fuse them with the product (cuBLASLt's
 * epilogues). */
#pragma once

#include "core/ops/linear_gradient.h"

/* inputs x, w, bias|NULL; outputs y, pre|NULL (the GELU's argument, kept for backward). */
extern const Op linear_op;

/* Records y = x w^T + bias, or its GELU. Shapes as above; STATUS_CONFIG if they do not match. */
Tensor *linear_record(Program *p, Tensor *x, Tensor *w, Tensor *bias, bool gelu);

/* Records y = x w^T + bias, whose gradient computes in eight bits the products that the layer has:
 * see core/ops/linear_f8_gradient.h. */
Tensor *linear_record_f8_gradient(Program *p, Tensor *x, Tensor *w, Tensor *bias,
                                  const LinearF8 *layer);

/* Records y = x w^T into a given tensor, without gradient: one chunk of the logits of the loss. */
void linear_into(Program *p, Tensor *y, Tensor *x, Tensor *w);
