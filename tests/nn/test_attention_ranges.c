/* Ranges of keys, computed on the host: both forms describe the same mask, bounds never fall,
 * invalid lengths are refused. */
#include "nn/attention/ranges.h"
#include "tests/harness.h"

static bool sees(const AttentionRanges *r, int64_t b, int64_t i, int64_t j) {
    const int32_t *first = r->keys + b * r->Tq, *end = first + r->B * r->Tq;
    return first[i] <= j && j < end[i];
}

static bool is_seen(const AttentionRanges *r, int64_t b, int64_t i, int64_t j) {
    const int32_t *first = r->queries + b * r->Tk, *end = first + r->B * r->Tk;
    return first[j] <= i && i < end[j];
}

static void check_bounds(const int32_t *bounds, int64_t rows, int64_t T) {
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 1; i < T; i++) CHECK(bounds[row * T + i] >= bounds[row * T + i - 1]);
    }
}

static void check_consistent(const AttentionRanges *r) {
    check_bounds(r->keys, 2 * r->B, r->Tq);
    check_bounds(r->queries, 2 * r->B, r->Tk);
    for (int64_t b = 0; b < r->B; b++) {
        for (int64_t i = 0; i < r->Tq; i++) {
            for (int64_t j = 0; j < r->Tk; j++) CHECK(sees(r, b, i, j) == is_seen(r, b, i, j));
        }
    }
}

static void lengths(void) {
    AttentionRanges r;
    if (CHECK_OK(ranges_create(3, 5, 7, &r))) {
        CHECK(sees(&r, 2, 4, 6) && sees(&r, 0, 0, 0));
        check_consistent(&r);
        CHECK_OK(ranges_from_lengths(&r, (int32_t[]){5, 2, 0}, (int32_t[]){7, 3, 4}));
        CHECK(sees(&r, 1, 1, 2) && !sees(&r, 1, 1, 3) && !sees(&r, 1, 2, 0) && !sees(&r, 2, 0, 0));
        check_consistent(&r);
        CHECK_OK(ranges_from_lengths(&r, NULL, (int32_t[]){0, 3, 7}));
        CHECK(!sees(&r, 0, 0, 0) && sees(&r, 1, 4, 2) && sees(&r, 2, 4, 6));
        check_consistent(&r);
        CHECK_ERROR(ranges_from_lengths(&r, NULL, (int32_t[]){0, 8, 7}), STATUS_CONFIG,
                    "row 1 has 8 keys");
        CHECK_ERROR(ranges_from_lengths(&r, (int32_t[]){0, 0, -1}, NULL), STATUS_CONFIG,
                    "row 2 has -1 queries");
    }
    ranges_destroy(&r);
}

/* The definition in the header for one pair, computed directly. */
static bool packed_sees(const int32_t *queries, const int32_t *keys, int count, CausalMask causal,
                        int64_t window, int64_t i, int64_t j) {
    for (int s = 0; s < count; s++) {
        if (i < queries[s] || i >= queries[s + 1] || j < keys[s] || j >= keys[s + 1]) continue;
        int64_t row = i - queries[s], column = j - keys[s],
                shift = keys[s + 1] - keys[s] - queries[s + 1] + queries[s];
        int64_t diagonal = causal == CAUSAL_LOWER_RIGHT ? row + shift : row;
        return causal == CAUSAL_NONE ||
               (column <= diagonal && (window == 0 || column > diagonal - window));
    }
    return false;
}

static void check_packed(const int32_t *queries, const int32_t *keys, int count, CausalMask causal,
                         int64_t window) {
    AttentionRanges r;
    if (CHECK_OK(ranges_create(2, 23, 31, &r)) &&
        CHECK_OK(ranges_from_cumulative(&r, 1, queries, keys, count, causal, window))) {
        check_consistent(&r);
        for (int64_t i = 0; i < 23; i++) {
            for (int64_t j = 0; j < 31; j++) {
                CHECK(sees(&r, 1, i, j) == packed_sees(queries, keys, count, causal, window, i, j));
            }
        }
    }
    ranges_destroy(&r);
}

static void packed(void) {
    static const int32_t queries[][6] = {
        {0, 5, 5, 9, 20, 23}, {0, 1, 2, 3, 4, 5}, {0, 0, 23, 23, 23, 23}, {0, 12, 14, 15, 19, 21}};
    static const int32_t keys[][6] = {
        {0, 5, 9, 9, 12, 31}, {0, 10, 12, 20, 30, 31}, {0, 3, 31, 31, 31, 31}, {0, 2, 3, 3, 4, 9}};
    const CausalMask masks[] = {CAUSAL_NONE, CAUSAL_UPPER_LEFT, CAUSAL_LOWER_RIGHT};
    for (size_t k = 0; k < COUNT(keys); k++) {
        for (size_t m = 0; m < COUNT(masks); m++) {
            for (int64_t window = 0; window < 4; window++)
                check_packed(queries[k], keys[k], 5, masks[m], window);
        }
    }
}

static void wrong_sequences_are_refused(void) {
    AttentionRanges r;
    if (CHECK_OK(ranges_create(1, 10, 10, &r))) {
        const int32_t good[] = {0, 4, 10}, late[] = {1, 4, 10}, falls[] = {0, 5, 4},
                      long_[] = {0, 5, 11};
        CHECK_OK(ranges_from_cumulative(&r, 0, good, good, 2, CAUSAL_NONE, 0));
        CHECK_ERROR(ranges_from_cumulative(&r, 0, late, good, 2, CAUSAL_NONE, 0), STATUS_CONFIG,
                    "cumulative queries");
        CHECK_ERROR(ranges_from_cumulative(&r, 0, good, falls, 2, CAUSAL_NONE, 0), STATUS_CONFIG,
                    "cumulative keys");
        CHECK_ERROR(ranges_from_cumulative(&r, 0, good, long_, 2, CAUSAL_NONE, 0), STATUS_CONFIG,
                    "0 to 10 at most");
        CHECK_ERROR(ranges_from_cumulative(&r, 1, good, good, 2, CAUSAL_NONE, 0), STATUS_CONFIG,
                    "no row 1");
        CHECK(sees(&r, 0, 3, 0) && !sees(&r, 0, 4, 3)); /* as before the refused calls */
    }
    ranges_destroy(&r);
    CHECK_ERROR(ranges_create(1, (int64_t)1 << 31, 1, &r), STATUS_CONFIG, "is no size");
    ranges_destroy(&r);
    CHECK_ERROR(ranges_create(-1, 1, 1, &r), STATUS_CONFIG, "is no size");
    ranges_destroy(&r);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(lengths), TEST(packed), TEST(wrong_sequences_are_refused)};
    return harness_run(argc, argv, "attention_ranges", tests, COUNT(tests));
}
