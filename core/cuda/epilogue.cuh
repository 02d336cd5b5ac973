/* Epilogues of products as separate kernels: for shapes and dtypes that cuBLASLt does not fuse, or
 * fuses at a loss. */
#pragma once

#include "core/op.h"

#include <cuda_runtime.h>

/* y = pre + bias, or gelu of that; `pre`, if given, keeps the argument. The product is in `pre` if
 * given, else in `y`. (rows, columns); bias may be NULL. */
typedef struct BiasGelu {
    void *y, *pre;
    const void *bias;
    int64_t rows, columns;
    bool gelu;
} BiasGelu;
Status bias_gelu(BiasGelu job, DType dtype, cudaStream_t stream);

/* d *= gelu'(pre) over `count` elements. */
Status gelu_gradient(void *d, const void *pre, DType dtype, int64_t count, cudaStream_t stream);
