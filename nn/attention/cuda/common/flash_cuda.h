/* The flash attention kernels for CUDA: softmax(scale q kT + mask) v in tiles that never leave the
 * chip, so that memory is linear in T. Two families of one interface, which the backend table
 * calls:
 *
 *   flash_sm80   mma.sync, for sm_80 and later: f16 and bf16, HS 32, 64, 96, 128, 256, dropout, any
 *   scale flash_sm90   wgmma and TMA, sm_90a alone: the same, scale > 0
 *
 * Both serve causal masks in both alignments, windows, ranges (documents, key padding, packed
 * sequences: tiles outside are not visited), Tq != Tk, grouped key heads and strided heads, and
 * refuse arbitrary masks; a query without an allowed key gives zeros and zero gradients. Dropout's
 * mask is core/rng.h's, whatever the tiling and the family. Both directions are bitwise
 * deterministic: no atomics anywhere.
 *
 * Everything is enqueued on the stream and returns at once: no synchronization, no allocation, no
 * read-back, so that a CUDA graph captures it. Pointers are baked into what is captured. Not
 * collective.
 *
 * args->workspace offers the bytes that the rows of flash_sm80.c and flash_sm90.c ask for, 256-byte
 * aligned.
 * x_forward: writes out, lse where it is not NULL, and stats of rows whose lse is large where
 * neither is NULL.
 *   Source: arXiv:2307.08691, algorithm 1.
 * x_backward: writes dq, dk, dv from q, k, v, out, lse, stats, dout.   Source: the same, algorithm
 * 2, in two passes. Errors: STATUS_UNSUPPORTED with the refusal; STATUS_FAILURE where a launch
 * fails or a pointer is misaligned.
 *
 * Pointers are the device's and 16-byte aligned, args->step included; strides are multiples of 8
 * elements. */
#pragma once

#include "core/status.h"
#include "nn/attention/sdpa.h"

#ifdef __cplusplus
extern "C" {
#endif

NODISCARD Status flash_sm80_forward(const AttentionCall *call, const AttentionArgs *args,
                                    void *cuda_stream);
NODISCARD Status flash_sm80_backward(const AttentionCall *call, const AttentionArgs *args,
                                     void *cuda_stream);

NODISCARD Status flash_sm90_forward(const AttentionCall *call, const AttentionArgs *args,
                                    void *cuda_stream);
NODISCARD Status flash_sm90_backward(const AttentionCall *call, const AttentionArgs *args,
                                     void *cuda_stream);

#ifdef __cplusplus
}
#endif
