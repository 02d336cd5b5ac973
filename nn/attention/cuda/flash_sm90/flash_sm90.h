/* The workspace of flash on sm_90, for host code: a flag per 16 rows that must be recomputed, and
 * dq's sums in f32 where backward is one fused pass. */
#pragma once

#include "nn/attention/sdpa.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the flags of the queries, and of the keys. */
size_t flash_flags_of_queries(const AttentionCall *call);
size_t flash_flags_of_keys(const AttentionCall *call);

/* The elements of a tile of dq in the fused pass: queries times columns. */
enum { FLASH_FUSED_TILE = 8192 };

/* dq's sums are a matrix of this many columns for the copy engine. */
enum { FLASH_SUM_ROW = 256 };

/* Whether backward is one fused pass (flash_sm90_fused.cu) instead of two: without ranges and
 * dropout, at the head sizes that it is written for, and where T is long enough that the products
 * which it saves outweigh dq's sums. */
bool flash_is_fused(const AttentionCall *call);

/* Bytes of dq's sums, and of a number per tile of them; 0 if backward is not fused. */
size_t flash_fused_sums(const AttentionCall *call);
size_t flash_fused_turns(const AttentionCall *call);

#ifdef __cplusplus
}
#endif
