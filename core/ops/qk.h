/* qk: normalizes and rotates the heads of q and k in a packed qkv, in this order. For a head x of
 * HS elements, with the table of core/ops/rope.h:
 *
 *     n = x / sqrt(mean(x^2) + eps) * gamma                                       if norm, else x
 *     y[i] = n[i] cos[i] - n[i + pairs] sin[i]
 *     y[i + pairs] = n[i + pairs] cos[i] + n[i] sin[i]         for i < pairs; y = n in the others
 *
 *   qkv, y (B, T, (NH + 2 NH_kv) HS): the heads of q, of k, of v    table (T or B T, 2 pairs)
 *   q_gamma, k_gamma (HS), or NULL: 1                               rstd (B, T, NH + NH_kv)
 *
 * table and rstd are f32 (f64 for f64). v stays as it is. A head with a non-finite element, or
 * whose squares overflow f32 (f64), becomes NaN if it is normalized. Source: Su et al.,
 * arXiv:2104.09864, equation 34, with the pairs of Hugging Face's rotate_half; Henry et al.,
 * arXiv:2010.04245, with RMSNorm as in Qwen3. */
#pragma once

#include "core/program.h"

enum {
    QK_PARTS = 32,  /* row parts of the gradients of the gammas on the CPU */
    QK_BLOCKS = 264 /* the same on CUDA, one block each, for q and for k */
};

typedef struct QkOptions {
    int64_t NH, NH_kv, HS;
    bool norm;
    double eps;
} QkOptions;

typedef struct QkAttrs {
    QkOptions options;
    bool accumulate_q, accumulate_k; /* backward: add to dq_gamma, dk_gamma */
} QkAttrs;

/* inputs qkv, table|NULL, q_gamma|NULL, k_gamma|NULL; outputs y, rstd|NULL. */
extern const Op qk_op;

/* inputs table|NULL, qkv|NULL, q_gamma|NULL, k_gamma|NULL, rstd|NULL; outputs d (the gradient of y,
 * then of qkv), dq_gamma|NULL, dk_gamma|NULL. */
extern const Op qk_backward_op;

/* Records y. In a program that trains with a norm, y is a new tensor and qkv is kept for backward.
 * Otherwise y is a view of qkv, which is changed in place: no other op may read qkv, and a range
 * that is recomputed (core/passes/recompute.h) must contain the op that writes qkv. Without norm
 * and table y is qkv.
 *   Errors: STATUS_CONFIG if qkv, the table or a gamma does not fit the options. */
Tensor *qk_record(Program *p, Tensor *qkv, Tensor *table, Tensor *q_gamma, Tensor *k_gamma,
                  const QkOptions *options);
