/* Masks as ranges, for test_attention_kernels.cu: AttentionArgs.key_ranges and query_ranges (see
 * nn/attention/sdpa.h), computed on the host from sequences of (queries, keys). */
#pragma once

#include "core/rng.h"
#include "nn/attention/sdpa.h"
#include "tests/gpu/attention_cases.cuh"

#include <algorithm>
#include <math.h>
#include <vector>

/* One sequence of a row: its queries [q, q_end) see only its keys [k, k_end). */
struct Sequence {
    int64_t q, q_end, k, k_end;
};

/* Lengths of at least 1 with the given mean: uniform, or exponentially distributed. */
static std::vector<Sequence> documents(int64_t T, double mean, bool uneven, uint64_t seed) {
    std::vector<Sequence> all;
    for (int64_t at = 0, n = 0; at < T; n++) {
        const double u = ((double)philox(seed, (uint64_t)n, 11).word[0] + 0.5) / 4294967296.0;
        const int64_t length = 1 + (int64_t)(uneven ? -log(u) * (mean - 0.5) : u * (2 * mean - 1));
        const int64_t end = std::min(T, at + length);
        all.push_back({at, end, at, end});
        at = end;
    }
    return all;
}

/* Sequences with unrelated numbers of queries and keys; some have no queries or no keys. */
static std::vector<Sequence> ragged(int64_t Tq, int64_t Tk, uint64_t seed) {
    std::vector<Sequence> all;
    int64_t q = 0, k = 0;
    for (uint64_t n = 0; q < Tq || k < Tk; n++) {
        const Philox w = philox(seed, n, 12);
        const int64_t q_end = n == 1 ? q : std::min(Tq, q + w.word[0] % 90),
                      k_end = n == 2 ? k : std::min(Tk, k + w.word[1] % 90);
        all.push_back({q, q_end, k, k_end});
        q = q_end, k = k_end;
    }
    return all;
}

static std::vector<Sequence> sequences_of(const Case &c, int64_t b) {
    const uint64_t seed = (uint64_t)b + 1;
    switch (c.ranges) {
    case DOCUMENTS: return documents(c.Tq, c.mean, false, seed);
    case UNEVEN_DOCUMENTS: return documents(c.Tq, c.mean, true, seed);
    case EQUAL_DOCUMENTS: {
        std::vector<Sequence> all;
        for (int64_t at = 0; at < c.Tq; at += c.mean)
            all.push_back({at, at + c.mean, at, at + c.mean});
        return all;
    }
    case PADDING:
        return {{0, c.Tq, 0, c.Tk * (b + 1) / (c.B + 1)},
                {c.Tq, c.Tq, c.Tk * (b + 1) / (c.B + 1), c.Tk}};
    default: return ragged(c.Tq, c.Tk, seed);
    }
}

/* RAGGED is causal through its ranges, aligned to each sequence's lower right; the others through
 * the call, or not causal. */
struct Ranges {
    std::vector<int32_t> keys, queries; /* (2, B, Tq), (2, B, Tk) */
};

static Ranges ranges_of(const Case &c) {
    Ranges r = {std::vector<int32_t>((size_t)(2 * c.B * c.Tq)),
                std::vector<int32_t>((size_t)(2 * c.B * c.Tk))};
    for (int64_t b = 0; b < c.B; b++)
        for (const Sequence &s : sequences_of(c, b)) {
            const int64_t shift = (s.k_end - s.k) - (s.q_end - s.q);
            for (int64_t i = s.q; i < s.q_end; i++) {
                const int64_t seen =
                    c.ranges == RAGGED ? std::max((int64_t)0, i - s.q + 1 + shift) : s.k_end - s.k;
                r.keys[(size_t)(b * c.Tq + i)] = (int32_t)s.k;
                r.keys[(size_t)((c.B + b) * c.Tq + i)] = (int32_t)(s.k + seen);
            }
            for (int64_t j = s.k; j < s.k_end; j++) {
                const int64_t first =
                    c.ranges == RAGGED ? std::max((int64_t)0, j - s.k - shift) : 0;
                r.queries[(size_t)(b * c.Tk + j)] = (int32_t)std::min(s.q + first, s.q_end);
                r.queries[(size_t)((c.B + b) * c.Tk + j)] = (int32_t)s.q_end;
            }
        }
    return r;
}
