#include "nn/attention/ranges.h"

#include "core/base/checked.h"

#include <stdlib.h>

static int32_t clamped(int64_t x, int64_t low, int64_t high) {
    return (int32_t)(x < low ? low : x > high ? high : x);
}

/* The queries that see key j. Bounds never fall, so these are the queries from the first whose end
 * is after j to the last whose first is not. */
static void row_invert(AttentionRanges *r, int64_t b) {
    const int32_t *firsts = r->keys + b * r->Tq, *ends = firsts + r->B * r->Tq;
    int32_t *first = r->queries + b * r->Tk, *end = first + r->B * r->Tk, from = 0, to = 0;
    for (int64_t j = 0; j < r->Tk; j++) {
        while (from < r->Tq && ends[from] <= j) from++;
        while (to < r->Tq && firsts[to] <= j) to++;
        first[j] = from;
        end[j] = to > from ? to : from;
    }
}

static void row_fill(AttentionRanges *r, int64_t b, int64_t queries, int64_t keys) {
    int32_t *first = r->keys + b * r->Tq, *end = first + r->B * r->Tq;
    for (int64_t i = 0; i < r->Tq; i++) {
        first[i] = i < queries ? 0 : (int32_t)keys;
        end[i] = (int32_t)keys;
    }
    row_invert(r, b);
}

static int32_t *pairs_alloc(int64_t B, int64_t T) {
    size_t count;
    if (!checked_mul((size_t)B, (size_t)T, &count) ||
        !checked_mul(count, 2 * sizeof(int32_t), &count))
        return NULL;
    return malloc(count + 1);
}

Status ranges_create(int64_t B, int64_t Tq, int64_t Tk, AttentionRanges *out) {
    *out = (AttentionRanges){.B = B, .Tq = Tq, .Tk = Tk};
    if (B < 0 || Tq < 0 || Tk < 0 || Tq > INT32_MAX || Tk > INT32_MAX) {
        return ERROR(STATUS_CONFIG, "ranges of keys: B=%lld, Tq=%lld, Tk=%lld is no size",
                     (long long)B, (long long)Tq, (long long)Tk);
    }
    out->keys = pairs_alloc(B, Tq);
    out->queries = pairs_alloc(B, Tk);
    if (out->keys == NULL || out->queries == NULL) return OUT_OF_MEMORY("ranges of keys");
    for (int64_t b = 0; b < B; b++) row_fill(out, b, Tq, Tk);
    return OK;
}

void ranges_destroy(AttentionRanges *ranges) {
    free(ranges->keys);
    free(ranges->queries);
    ranges->keys = ranges->queries = NULL;
}

static Status length_check(const char *what, int64_t b, const int32_t *lengths, int64_t T) {
    if (lengths == NULL || (lengths[b] >= 0 && lengths[b] <= T)) return OK;
    return ERROR(STATUS_CONFIG, "ranges of keys: row %lld has %d %s, but there are %lld",
                 (long long)b, lengths[b], what, (long long)T);
}

Status ranges_from_lengths(AttentionRanges *r, const int32_t *query_lengths,
                           const int32_t *key_lengths) {
    for (int64_t b = 0; b < r->B; b++) {
        TRY(length_check("queries", b, query_lengths, r->Tq));
        TRY(length_check("keys", b, key_lengths, r->Tk));
    }
    for (int64_t b = 0; b < r->B; b++) {
        row_fill(r, b, query_lengths == NULL ? r->Tq : query_lengths[b],
                 key_lengths == NULL ? r->Tk : key_lengths[b]);
    }
    return OK;
}

static Status cumulative_check(const char *what, const int32_t *starts, int64_t count, int64_t T) {
    bool rises = starts[0] == 0;
    for (int64_t s = 0; s < count; s++) rises &= starts[s] <= starts[s + 1];
    if (rises && starts[count] <= T) return OK;
    return ERROR(STATUS_CONFIG, "ranges of keys: cumulative %s must rise from 0 to %lld at most",
                 what, (long long)T);
}

/* Sets the keys of query i, in a sequence of `queries` queries whose keys are [base, base +
 * keys). */
static void query_fill(int64_t i, int64_t queries, int64_t base, int64_t keys, CausalMask causal,
                       int64_t window, int32_t *first, int32_t *end) {
    int64_t last = causal == CAUSAL_NONE         ? keys
                   : causal == CAUSAL_UPPER_LEFT ? i + 1
                                                 : i + 1 + keys - queries;
    int64_t start = causal != CAUSAL_NONE && window > 0 ? last - window : 0;
    *end = (int32_t)base + clamped(last, 0, keys);
    *first = (int32_t)base + clamped(start, 0, *end - base);
}

Status ranges_from_cumulative(AttentionRanges *r, int64_t b, const int32_t *queries,
                              const int32_t *keys, int64_t count, CausalMask causal,
                              int64_t window) {
    if (b < 0 || b >= r->B) {
        return ERROR(STATUS_CONFIG, "ranges of keys: there is no row %lld", (long long)b);
    }
    TRY(cumulative_check("queries", queries, count, r->Tq));
    TRY(cumulative_check("keys", keys, count, r->Tk));
    int32_t *first = r->keys + b * r->Tq, *end = first + r->B * r->Tq;
    for (int64_t s = 0; s < count; s++) {
        int64_t n = queries[s + 1] - queries[s];
        for (int64_t i = 0; i < n; i++) {
            query_fill(i, n, keys[s], keys[s + 1] - keys[s], causal, window, &first[queries[s] + i],
                       &end[queries[s] + i]);
        }
    }
    for (int64_t i = queries[count]; i < r->Tq; i++) first[i] = end[i] = keys[count];
    row_invert(r, b);
    return OK;
}
