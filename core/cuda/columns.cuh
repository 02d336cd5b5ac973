/* Sums of columns in two levels: each block of a kernel writes one line of partial sums, and
 * columns_sum adds the lines in order. */
#pragma once

#include "core/ops/linear.h"

#include <cuda_runtime.h>
#include <stdint.h>

/* out[j] = sum over i < n of parts[i * stride + j], or out[j] += that sum, for j < columns. If out
 * is NULL, does nothing. */
typedef struct ColumnSum {
    float *out;
    const float *parts;
    bool accumulate;
} ColumnSum;

/* Two sums over parts of the same shape in one launch. */
Status columns_sum(ColumnSum first, ColumnSum second, int64_t n, int64_t stride, int64_t columns,
                   cudaStream_t stream);

/* db[j] = sum over rows of dy[row, j], the bias gradient. `parts` holds COLUMN_PARTS lines of f32
 * columns. */
enum { COLUMN_PARTS = LINEAR_BIAS_PARTS_CUDA };
Status columns_gradient(float *db, bool accumulate, DType dtype, const void *dy, int64_t rows,
                        int64_t columns, float *parts, cudaStream_t stream);
