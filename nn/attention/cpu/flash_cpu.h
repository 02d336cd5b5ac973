/* Tiles of flash attention on the CPU, and its workspace per thread in elements: two tiles, a row's
 * statistics, and the row sums of dout * out of one head; in 16 bits also copies of a tile's q, out
 * or dout, k and v, and a head's sums of dq, dk and dv. Linear in T. */
#pragma once

#include "nn/attention/sdpa.h"

#include <stddef.h>

enum { FLASH_ROWS = 64, FLASH_KEYS = 128 };

static inline size_t flash_sums(const AttentionCall *call) {
    return 2 * (size_t)(FLASH_ROWS * FLASH_KEYS) + 2 * FLASH_ROWS + (size_t)call->Tq;
}

static inline size_t flash_scratch(const AttentionCall *call) {
    int64_t rows = 2 * FLASH_ROWS + 2 * FLASH_KEYS + call->Tq + 2 * call->Tk;
    return flash_sums(call) + (call->dtype == DTYPE_BF16 ? (size_t)(rows * call->HS) : 0);
}
