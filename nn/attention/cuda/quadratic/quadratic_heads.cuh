/* The heads on which baseline and math on CUDA compute: contiguous copies, as batched products
 * require. */
#pragma once

#include "core/status.h"
#include "nn/attention/sdpa.h"

#include <cuda_runtime.h>

/* Heads in both forms: strided as in the model's tensors, and contiguous (B, NH, T, HS). */
struct HeadCopy {
    HeadLayout layout;
    int64_t B, NH, T, HS;
    int64_t group; /* heads of the contiguous form per strided head */
    float factor;
};

/* From the strided form x to the contiguous out, times factor; or (gather: false) the reverse, with
 * the heads of a group summed in order. */
Status heads_copy(void *out, const void *x, DType dtype, HeadCopy c, bool gather,
                  cudaStream_t stream);
