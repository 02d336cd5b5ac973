/* Recomputes the rows of a product of weights in which a hidden pair may have left a NaN. */
#pragma once

#include "core/status.h"
#include "nn/attention/cuda/quadratic/quadratic_rows.cuh"

#include <cuda_runtime.h>

/* out = weights x or, transposed, weights^T x, of contiguous heads: weights (B, NH, Tq, Tk), x and
 * out rows of HS. Rows that contain a NaN become the sum over visible pairs only; a visible NaN
 * reappears. */
Status quadratic_again(void *out, const void *weights, const void *x, bool transposed,
                       const RowParams &p, cudaStream_t stream);
