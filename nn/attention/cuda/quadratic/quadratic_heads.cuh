/* The heads that baseline and math on CUDA compute on: contiguous copies, which batched products
 * take. */
#pragma once

#include "core/status.h"
#include "nn/attention/sdpa.h"

#include <cuda_runtime.h>

/* Heads in both forms: strided as in the model's tensors, and contiguous (B, NH, T, HS). */
struct HeadCopy {
    HeadLayout layout;
    int64_t B, NH, T, HS;
    int64_t group; /* heads of the contiguous form that one strided head stands for */
    float factor;
};

/* From the strided form x to the contiguous out, times factor; or (gather: false) the other way,
 * the heads of a group summed in order. */
Status heads_copy(void *out, const void *x, DType dtype, HeadCopy c, bool gather,
                  cudaStream_t stream);
