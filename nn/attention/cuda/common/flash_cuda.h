/* The flash attention kernels for CUDA: softmax(scale q kT + mask) v in tiles that stay on the
 * chip, with memory linear in T. Two families with one interface, called by the backend table:
 *
 *   flash_sm80   mma.sync, for sm_80 and later: f16 and bf16, HS up to 256 in multiples of 8,
 *                dropout, any scale
 *   flash_sm90   wgmma and TMA, sm_90a only: the same, scale > 0
 *
 * Both serve causal masks in both alignments, windows, ranges (documents, key padding, packed
 * sequences: tiles outside are not visited), Tq != Tk, grouped key heads and strided heads, and
 * refuse arbitrary masks; a query without an allowed key gives zeros and zero gradients. Dropout
 * uses the mask of core/rng.h for every tiling and family. Both directions are bitwise
 * deterministic: where several blocks add to a value, they take turns in a fixed order.
 *
 * Functions enqueue on the stream and return at once, without synchronization, allocation or
 * read-back, so a CUDA graph can capture them. The captured graph contains the pointers. Not
 * collective.
 *
 * A tile is 32, 64, 96, 128 or 256 columns wide; the columns from HS on are zeros in shared memory
 * alone, so HS 80 takes the time of 96. HS as a template's parameter is that width; FlashParams.HS
 * is the head size.
 *
 * args->workspace has the size that the rows of flash_sm80.c and flash_sm90.c request, 256-byte
 * aligned.
 *   x_forward    writes out, lse if it is not NULL, and stats of rows with a large lse if neither
 *                is NULL. Source: arXiv:2307.08691, algorithm 1.
 *   x_backward   writes dq, dk, dv from q, k, v, out, lse, stats, dout. Source: the same,
 *                algorithm 2, in two passes; on sm_90 at long T in one.
 * Errors: STATUS_UNSUPPORTED with the refusal; STATUS_FAILURE if a launch fails or a pointer is
 * misaligned.
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
