/* The products of a linear layer, by OpenBLAS or, in 16 bits, by oneDNN. */
#pragma once

#include "core/cpu/product_bf16.h"
#include "core/cpu/real.h"

/* `real` sums; out is of `stored`, or of `real` if the shape is wide. A bias is added in 16 bits
 * only, where it is rounded with the sums. */
static inline Status product(const ProductShape *s, const void *a, const void *b, const void *bias,
                             void *out, void *scratch) {
    if (IS_NARROW) return product_bf16(s, a, b, bias, out, scratch);
    int rows = (int)s->rows, columns = (int)s->columns, depth = (int)s->depth;
    BLAS(gemm)
    (CblasRowMajor, s->a_turned ? CblasTrans : CblasNoTrans,
     s->b_turned ? CblasTrans : CblasNoTrans, rows, columns, depth, 1, a,
     s->a_turned ? rows : depth, b, s->b_turned ? depth : columns, s->accumulate ? 1 : 0, out,
     columns);
    return OK;
}
