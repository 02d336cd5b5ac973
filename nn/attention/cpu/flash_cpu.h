/* Tiles of flash attention on the CPU, and its workspace per thread in elements: two tiles, a row's
 * statistics, and the row sums of dout * out of one head. Linear in T. */
#pragma once

#include "nn/attention/sdpa.h"

#include <stddef.h>

enum { FLASH_ROWS = 64, FLASH_KEYS = 128 };

static inline size_t flash_scratch(const AttentionCall *call) {
    return 2 * (size_t)(FLASH_ROWS * FLASH_KEYS) + 2 * FLASH_ROWS + (size_t)call->Tq;
}
