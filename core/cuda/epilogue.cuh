/* What a product's epilogue does, as kernels of their own: for shapes and dtypes that cuBLASLt does
 * not fuse, or fuses at a loss. */
#pragma once

#include "core/op.h"

#include <cuda_runtime.h>

/* y = pre + bias, then gelu of it where asked; `pre` keeps the argument where it is given. The
 * product is in `pre` where that is given, else in `y`. (rows, columns); bias may be NULL. */
typedef struct BiasGelu {
    void *y, *pre;
    const void *bias;
    int64_t rows, columns;
    bool gelu;
} BiasGelu;
Status bias_gelu(BiasGelu job, DType dtype, cudaStream_t stream);

/* d *= gelu'(pre) over `count` elements. */
Status gelu_gradient(void *d, const void *pre, DType dtype, int64_t count, cudaStream_t stream);
