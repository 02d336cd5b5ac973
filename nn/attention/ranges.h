/* Ranges of keys, filled on the host: key padding, batches packed without padding, documents of one
 * row.
 *
 * Query i of row b sees keys [first, end) of what the call's causal mask leaves; the same mask from
 * the keys' side says which queries see key j. Both are written here, and neither bound ever falls
 * from one row to the next, which is what lets tiled backends pass over whole tiles: see
 * AttentionArgs in nn/attention/sdpa.h. Not collective. */
#pragma once

#include "core/status.h"
#include "nn/attention/sdpa.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct AttentionRanges {
    int64_t B, Tq, Tk;
    int32_t *keys;    /* (2, B, Tq): firsts, then ends: AttentionArgs.key_ranges */
    int32_t *queries; /* (2, B, Tk): the same from the keys' side: AttentionArgs.query_ranges */
} AttentionRanges;

/* Every query sees every key. Errors: STATUS_CONFIG for a size below 0 or beyond an int32,
 * STATUS_FAILURE without memory. ranges_destroy also after a failure. */
NODISCARD Status ranges_create(int64_t B, int64_t Tq, int64_t Tk, AttentionRanges *out);
void ranges_destroy(AttentionRanges *ranges);

/* Padded rows: row b has query_lengths[b] queries and key_lengths[b] keys (NULL: all of them). The
 * queries beyond see nothing: they give zeros, and zero gradients. lengths (B).
 *   Errors: STATUS_CONFIG for a length outside of 0 .. T. */
NODISCARD Status ranges_from_lengths(AttentionRanges *ranges, const int32_t *query_lengths,
                                     const int32_t *key_lengths);

/* Sequences packed one behind another into row b: sequence s is queries [queries[s], queries[s +
 * 1]) and keys [keys[s], keys[s + 1]), s < count, and sees nothing of the others. The causal mask
 * is that inside each sequence, its alignment being to the sequence's own corners, and so is the
 * window; the call itself then has CAUSAL_NONE. What is behind the last sequence sees nothing and
 * is not seen. queries, keys (count + 1), cumulative, from 0.
 *   Errors: STATUS_CONFIG where they fall, start at another place than 0, or end beyond the row. */
NODISCARD Status ranges_from_cumulative(AttentionRanges *ranges, int64_t b, const int32_t *queries,
                                        const int32_t *keys, int64_t count, CausalMask causal,
                                        int64_t window);

#ifdef __cplusplus
}
#endif
