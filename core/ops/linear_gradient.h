/* The two products of a linear layer's gradient: dx = dy w and dw = dy^T x. The gradients of the
 * bias and of the GELU belong to these ops, so a device can fuse them (cuBLASLt's epilogues). */
#pragma once

#include "core/autodiff.h"

enum { LINEAR_BIAS_PARTS = 16, LINEAR_BIAS_PARTS_CUDA = 128 }; /* row parts of a bias gradient */

typedef struct LinearF8 LinearF8; /* core/ops/linear_f8_gradient.h */

typedef struct LinearAttrs {
    const LinearF8 *layer; /* linear: not NULL: its gradient may compute in eight bits */
    bool gelu;       /* linear: y = gelu(x w^T + bias); outputs[1] keeps the argument of the GELU */
    bool accumulate; /* linear_dx, linear_dw: add to the output */
    bool accumulate_bias;
} LinearAttrs;

/* dx = dy w, times gelu'(pre) if inputs[2] is given: inputs dy, w, pre|NULL; outputs dx. */
extern const Op linear_dx_op;

/* dw = dy^T x and db = column sums of dy: inputs dy, x; outputs dw, db|NULL. */
extern const Op linear_dw_op;

/* Record one product for a given dy into its targets, whose gradients are not NULL but for db's. */
void linear_dw_record(Program *p, GradTarget dw, GradTarget db, Tensor *dy, Tensor *x);
void linear_dx_record(Program *p, GradTarget dx, Tensor *dy, Tensor *w);

/* Records both for a given dy, dx last. The loss calls it directly, because it computes dy in
 * forward. */
void linear_gradient_record(Program *p, Tensor *dy, Tensor *x, Tensor *w, Tensor *bias);
