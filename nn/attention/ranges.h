/* Ranges of keys, computed on the host: key padding, batches packed without padding, documents
 * within a row.
 *
 * Query i of row b sees those of keys [first, end) that the call's causal mask leaves. The same
 * mask by key gives the queries that see key j. These functions fill both. Neither bound falls from
 * one query or key to the next, so tiled backends can skip whole tiles: see AttentionArgs in
 * nn/attention/sdpa.h. Not collective. */
#pragma once

#include "core/status.h"
#include "nn/attention/sdpa.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct AttentionRanges {
    int64_t B, Tq, Tk;
    int32_t *keys;    /* (2, B, Tq): firsts, then ends: AttentionArgs.key_ranges */
    int32_t *queries; /* (2, B, Tk): the same mask by key: AttentionArgs.query_ranges */
} AttentionRanges;

/* Every query sees every key. Errors: STATUS_CONFIG for a negative size or one beyond an int32,
 * STATUS_FAILURE without memory. Call ranges_destroy after a failure, too. */
NODISCARD Status ranges_create(int64_t B, int64_t Tq, int64_t Tk, AttentionRanges *out);
void ranges_destroy(AttentionRanges *ranges);

/* Padded rows: row b has query_lengths[b] queries and key_lengths[b] keys (NULL: all of them).
 * Later queries see no key: they give zeros and zero gradients. lengths (B).
 *   Errors: STATUS_CONFIG for a length outside of 0 .. T. */
NODISCARD Status ranges_from_lengths(AttentionRanges *ranges, const int32_t *query_lengths,
                                     const int32_t *key_lengths);

/* Sequences concatenated in row b: sequence s is queries [queries[s], queries[s + 1]) and keys
 * [keys[s], keys[s + 1]), s < count, and sees no other sequence. The causal mask and the window
 * apply within each sequence, aligned to its corners; the call itself must have CAUSAL_NONE.
 * Queries after the last sequence see no key, and keys after it are hidden. queries, keys (count +
 * 1), cumulative, from 0.
 *   Errors: STATUS_CONFIG if they decrease, do not start at 0, or end beyond the row. */
NODISCARD Status ranges_from_cumulative(AttentionRanges *ranges, int64_t b, const int32_t *queries,
                                        const int32_t *keys, int64_t count, CausalMask causal,
                                        int64_t window);

#ifdef __cplusplus
}
#endif
