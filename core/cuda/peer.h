/* For GPUs that copy from each other: flags that a stream sets and waits for without a kernel, and
 * the sum of the received parts. Used by dist/, inside and outside of captured graphs. Source: CUDA
 * driver API, "Stream Memory Operations"; CUDA runtime API, "Interprocess communication". */
#pragma once

#include "core/dtype.h"
#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Collectives of fewer bytes go through NCCL, which is as fast for them; smaller allocations may
 * share a block of memory (docs/results/cuda_ranks.md). */
enum { PEER_MOST_RANKS = 8, PEER_LEAST_BYTES = 2 << 20 };

/* Whether this driver supports the functions below; check it first. */
NODISCARD Status peer_check(void);

/* In stream order: sets a flag, on this or another GPU, to 1 after all earlier writes are visible
 * there. */
NODISCARD Status peer_flag_set(void *stream, uint32_t *flag);

/* Blocks `stream` until a flag of this GPU is 1, then clears it. */
NODISCARD Status peer_flag_await(void *stream, uint32_t *flag);

/* out[i] = sum of terms[r][i], f32 or f64, in the tree order of dist/mpi_collectives.h; `out` may
 * be one of the terms. `count` elements, a multiple of 16 bytes; n from 2 to PEER_MOST_RANKS. */
NODISCARD Status peer_sum(void *stream, void *out, const void *const *terms, int n, int64_t count,
                          DType dtype);

/* The allocation that contains `data`: its start, and an id that is unique within this process. */
NODISCARD Status peer_allocation(const void *data, void **base, uint64_t *id);

#ifdef __cplusplus
}
#endif
