/* Symmetric products on Hopper: one half is computed and mirrored. */
#pragma once

#include "core/op.h"

#include <cuda_runtime.h>

/* out (r, r) = scale a b^T + addend_scale addend, for each of `n` contiguous matrices of f16, with
 * f32 sums. a, b (r, depth). The caller promises that the result is symmetric up to rounding, such
 * as X X^T and products of symmetric matrices that commute; `addend` (r, r), NULL for none, too.
 * The result is symmetric except within the 8 x 8 blocks on the diagonal, which are computed
 * whole, and the same bits in every run. `out` is none of the others. */
struct SymmetricProduct {
    int64_t n, r, depth;
    const void *a, *b;
    void *out;
    float scale;
    const void *addend;
    float addend_scale;
};

/* Whether the kernel can compute it: rows of a multiple of 16 bytes. */
bool symmetric_takes(const SymmetricProduct &p);

/* Whether it also takes fewer FLOPs than the whole product. */
bool symmetric_pays(const SymmetricProduct &p);

Status symmetric_run(const SymmetricProduct &p, cudaStream_t stream);
