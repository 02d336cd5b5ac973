/* Memory-efficient attention for CUDA: softmax(scale q kT + mask) v in tiles that never leave the
 * chip, for whatever the flash kernels do not take: f32 in true f32, tf32, any head size up to 256,
 * any strides, GPUs from sm_75 on.
 *
 *   f16, bf16   mma.sync, f32 sums; on sm_75 f16 alone where its shared memory suffices, else as
 *               f32
 *   f32         fused multiply-adds in f32; where tf32 is wanted and HS is at most 128: mma.sync in
 *               tf32
 *
 * Masks: causal in both alignments, windows, ranges of keys; grouped key heads, Tq != Tk, dropout.
 * A query without an allowed key gives zeros and zero gradients. Memory beyond the tensors is
 * linear in T: two floats a query in backward. Both directions are bitwise deterministic: no
 * atomics anywhere.
 *
 * Everything is enqueued on the stream and returns at once: no synchronization, no allocation, no
 * read-back, so that a CUDA graph captures it. Not collective.
 *
 * mem_efficient_forward: writes out, lse where it is not NULL, and stats of rows whose lse is large
 * where neither is
 *   NULL. Source: arXiv:2112.05682 and 2307.08691.
 * mem_efficient_backward: writes dq, dk, dv from q, k, v, out, lse, stats, dout; needs a workspace,
 * 256-byte aligned. Errors: STATUS_FAILURE where a launch fails. Tensors need only be aligned to
 * their elements. */
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
