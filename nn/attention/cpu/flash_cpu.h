/* Tiles of flash attention on the CPU, and its workspace per thread in elements: two tiles, a row's
 * statistics, and the row sums of dout * out of one head; in 16 bits also copies of a tile's q, out
 * or dout, k and v, and a head's sums of dq, dk and dv; for small heads the transposes of a head's
 * k and v. Linear in T. */
#pragma once

#include "nn/attention/cpu/tile_lanes.h"
#include "nn/attention/sdpa.h"

#include <stdbool.h>
#include <stddef.h>

/* Tiles of queries by keys. The keys of a row of tiles begin and end at a multiple of `step`. */
typedef struct FlashShape {
    int rows, keys, step;
} FlashShape;

enum { FLASH_KEYS_MOST = 512 };

/* Whether the heads are so small that tile_product is used in place of BLAS. */
static inline bool flash_is_small(const AttentionCall *call) {
    size_t lanes = TILE_VECTOR / dtype_size(dtype_wide(call->dtype));
    return call->HS < 64 && (size_t)call->HS % lanes == 0;
}

/* Small heads take larger tiles: there the work by row, such as its maximum, weighs more. Backward
 * sums over the rows of a tile, so it has more of them. */
static inline FlashShape flash_shape(const AttentionCall *call, bool backward) {
    if (!flash_is_small(call)) return (FlashShape){64, 128, 128};
    return backward ? (FlashShape){128, 256, 16} : (FlashShape){64, FLASH_KEYS_MOST, 16};
}

/* The elements of a tile of either direction. */
static inline int64_t flash_tile(const AttentionCall *call) {
    FlashShape shape = flash_shape(call, false);
    return shape.rows * shape.keys;
}

/* The distance between the rows of a transpose. */
static inline int64_t flash_key_row(const AttentionCall *call) { return (call->Tk + 15) / 16 * 16; }

/* Parts begin at a multiple of 64 bytes: vectors that cross a cache line cost twice. */
static inline size_t flash_part(int64_t elements) { return (size_t)((elements + 15) / 16 * 16); }

static inline size_t flash_sums(const AttentionCall *call) {
    return flash_part(2 * flash_tile(call) + 2 * flash_shape(call, true).rows + call->Tq);
}

static inline size_t flash_copies(const AttentionCall *call) {
    FlashShape forward = flash_shape(call, false), backward = flash_shape(call, true);
    int64_t rows = 2 * backward.rows + 2 * forward.keys + call->Tq + 2 * call->Tk;
    return call->dtype == DTYPE_BF16 ? flash_part(rows * call->HS) : 0;
}

static inline size_t flash_transposes(const AttentionCall *call) {
    return flash_is_small(call) ? 2 * (size_t)(flash_key_row(call) * call->HS) : 0;
}

static inline size_t flash_scratch(const AttentionCall *call) {
    return flash_sums(call) + flash_copies(call) + flash_transposes(call);
}
