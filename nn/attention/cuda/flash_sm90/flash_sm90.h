/* The workspace of flash on sm_90, for host code: a flag per 16 rows that must be recomputed. */
#pragma once

#include "nn/attention/sdpa.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the flags of the queries, and of the keys. */
size_t flash_flags_of_queries(const AttentionCall *call);
size_t flash_flags_of_keys(const AttentionCall *call);

#ifdef __cplusplus
}
#endif
