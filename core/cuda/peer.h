/* What GPUs that copy from each other need beside the copies: flags that a stream sets and waits
 * for without a kernel, and the sum of what has come. Used by dist/, inside captured graphs and
 * out. Source: CUDA driver API, "Stream Memory Operations"; CUDA runtime API, "Interprocess
 * communication". */
#pragma once

#include "core/dtype.h"
#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PEER_MOST_RANKS = 8 };

/* Whether this driver has what the rest needs; to be asked first. */
NODISCARD Status peer_check(void);

/* Behind all that `stream` holds: sets a flag, here or on another GPU, to 1 once all earlier writes
 * are visible there. */
NODISCARD Status peer_flag_set(void *stream, uint32_t *flag);

/* Holds `stream` until a flag of this GPU is 1, and clears it. */
NODISCARD Status peer_flag_await(void *stream, uint32_t *flag);

/* out[i] = sum of terms[r][i], f32 or f64, in the tree order of dist/mpi_collectives.h; `out` may
 * be one of the terms. `count` elements, whole 16 bytes; n from 2 to PEER_MOST_RANKS. */
NODISCARD Status peer_sum(void *stream, void *out, const void *const *terms, int n, int64_t count,
                          DType dtype);

/* The allocation that `data` lies in: its start, and a number that no other allocation of this
 * process ever has. */
NODISCARD Status peer_allocation(const void *data, void **base, uint64_t *id);

#ifdef __cplusplus
}
#endif
