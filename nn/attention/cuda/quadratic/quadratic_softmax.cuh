/* The passes of baseline and math over rows of (B, NH, Tq, Tk), and the gradient of their bias. */
#pragma once

#include "core/status.h"
#include "nn/attention/cuda/quadratic/quadratic_rows.cuh"

#include <cuda_runtime.h>

enum RowPass { PASS_SOFTMAX, PASS_SOFTMAX_GRADIENT, PASS_DROPPED };

/* first, second: weights and dropped (softmax, which writes lse too); d and weights (its gradient);
 * out and weights (dropped). */
Status quadratic_rows(RowPass pass, void *first, void *second, float *lse, const RowParams &p,
                      cudaStream_t stream);

/* dbias = weights (d - sum_j weights d), summed over the rows that share it; `sums` (B, NH, Tq). */
Status quadratic_dbias(float *dbias, float *sums, const void *d, const void *weights,
                       const RowParams &p, cudaStream_t stream);
