/* The workspace of the two quadratic CUDA backends: contiguous copies of heads, and one matrix of
 * the size of the weights. */
#pragma once

#include "nn/attention/sdpa.h"

#include <stddef.h>

/* Bytes of a (B, NH, rows, columns) part. */
static inline size_t quadratic_piece(const AttentionCall *call, int64_t rows, int64_t columns) {
    return ((size_t)(call->B * call->NH * rows * columns) * dtype_size(call->dtype) + 255) / 256 *
           256;
}

/* q, k, v, out, and with dropout the dropped weights. */
static inline size_t quadratic_forward_bytes(const AttentionCall *call) {
    return 2 * quadratic_piece(call, call->Tq, call->HS) +
           2 * quadratic_piece(call, call->Tk, call->HS) +
           (call->dropout > 0 ? quadratic_piece(call, call->Tq, call->Tk) : 0);
}

/* q, k, v, dout, dq, dk, dv, the gradient of the scores, and a sum per row if a bias has a
 * gradient. */
static inline size_t quadratic_backward_bytes(const AttentionCall *call) {
    return 3 * quadratic_piece(call, call->Tq, call->HS) +
           4 * quadratic_piece(call, call->Tk, call->HS) +
           quadratic_piece(call, call->Tq, call->Tk) +
           quadratic_piece(call, call->bias == BIAS_ADDITIVE ? call->Tq : 0, sizeof(float));
}
