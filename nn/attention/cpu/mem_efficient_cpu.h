/* Chunks of mem_efficient attention on the CPU, and its workspace per thread in elements: two
 * chunks of scores, scaled queries, the values of one chunk, and a row's statistics. In f32 and f64
 * independent of T; in bf16 also copies in f32 of the rows of a chunk, and the sums of a head's dk
 * and dv, 2 Tk HS. */
#pragma once

#include "nn/attention/sdpa.h"

#include <stddef.h>

enum { EFFICIENT_ROWS = 32, EFFICIENT_KEYS = 256 };

static inline size_t mem_efficient_sums(const AttentionCall *call) {
    return 2 * (size_t)(EFFICIENT_ROWS * EFFICIENT_KEYS) +
           2 * (size_t)EFFICIENT_ROWS * (size_t)call->HS + 3 * EFFICIENT_ROWS;
}

static inline size_t mem_efficient_scratch(const AttentionCall *call) {
    int64_t rows = EFFICIENT_ROWS + 2 * EFFICIENT_KEYS + 2 * call->Tk;
    return mem_efficient_sums(call) + (call->dtype == DTYPE_BF16 ? (size_t)(rows * call->HS) : 0);
}
