/* Memory-efficient attention for CUDA: softmax(scale q kT + mask) v in tiles that stay on the chip,
 * for all calls that the flash kernels refuse: f32 in true f32, tf32, any head size up to 256, any
 * strides, GPUs from sm_75 on.
 *
 *   f16, bf16   mma.sync, f32 sums; on sm_75 f16 alone where its shared memory suffices, else as
 *               f32
 *   f32         fused multiply-adds in f32; where tf32 is wanted and HS is at most 128: mma.sync in
 *               tf32
 *
 * Masks: causal in both alignments, windows, ranges of keys; grouped key heads, Tq != Tk, dropout.
 * A query without an allowed key gives zeros and zero gradients. Memory beyond the tensors is
 * linear in T: two floats per query in backward. Both directions are bitwise deterministic: no
 * atomics anywhere.
 *
 * Functions enqueue on the stream and return at once, without synchronization, allocation or
 * read-back, so a CUDA graph can capture them. Not collective.
 *
 * mem_efficient_forward: writes out, lse if it is not NULL, and stats of rows with a large lse if
 * neither is NULL. Source: arXiv:2112.05682 and 2307.08691.
 * mem_efficient_backward: writes dq, dk, dv from q, k, v, out, lse, stats, dout; needs a workspace,
 * 256-byte aligned.
 * Errors: STATUS_FAILURE if a launch fails. Tensors need only be aligned to their elements. */
#pragma once

#include "core/status.h"
#include "nn/attention/sdpa.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct EfficientTarget {
    int sm;
    bool tf32; /* products of f32 tensors may round their factors to tf32 */
} EfficientTarget;

NODISCARD Status mem_efficient_forward(const AttentionCall *call, const AttentionArgs *args,
                                       EfficientTarget target, void *cuda_stream);
NODISCARD Status mem_efficient_backward(const AttentionCall *call, const AttentionArgs *args,
                                        EfficientTarget target, void *cuda_stream);

#ifdef __cplusplus
}
#endif
