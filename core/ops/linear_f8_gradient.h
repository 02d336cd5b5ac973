/* The products of a linear layer in eight bits, and their gradient. All three contract the last
 * dimension of both operands (core/ops/quantize.h):
 *
 *     out = scale_a scale_b a b^T + bias
 *
 *     forward   y  (rows, N)   a = q of x (rows, K)             b = q of w (N, K)
 *     dx        dx (rows, K)   a = q of dy (rows, N)            b = the transposed w (K, N)
 *     dw        dw (N, K)      a = the transposed dy (N, rows)  b = the transposed x (K, rows)
 *
 * Sums are f32; cuBLASLt may keep fewer bits between steps of the contraction (`fast`). A product
 * that the layer does not compute in eight bits is that of core/ops/linear.h. */
#pragma once

#include "core/ops/linear_gradient.h"
#include "core/ops/quantize.h"

/* The eight-bit products of one layer, and their operands. Must outlive the programs. */
struct LinearF8 {
    Float8Operand x, w, dy;
    bool forward, dx, dw;             /* which products */
    bool fast_forward, fast_gradient; /* fast accumulation */
};

typedef struct ProductF8Attrs {
    const LinearF8 *layer;
    bool accumulate, fast;
} ProductF8Attrs;

/* inputs a, b, scale_a, scale_b, bias|NULL; outputs out. linear_f8 also has the inputs x and w, for
 * its gradient. */
extern const Op linear_f8_op, linear_dx_f8_op, linear_dw_f8_op;

/* As linear_gradient_record, with the products in eight bits that the layer has. */
void linear_f8_gradient_record(Program *p, Tensor *dy, Tensor *x, Tensor *w, Tensor *bias,
                               const LinearF8 *layer);
