/* One head of one row of the batch on the CPU: its rows, and the keys visible to its queries. */
#pragma once

#include "core/cpu/real.h"
#include "nn/attention/backend.h"

typedef struct Head {
    const AttentionCall *call;
    const AttentionArgs *args;
    int64_t b, h; /* h: the query head */
} Head;

static inline int64_t head_place(HeadLayout layout, int64_t b, int64_t h, int64_t t) {
    return b * layout.batch + h * layout.head + t * layout.token;
}

static inline int64_t head_kv(const Head *head) {
    return head->h / (head->call->NH / head->call->NH_kv);
}

/* Row t of each tensor. */
#define HEAD_ROW(type, name, layout, of)                                                           \
    static inline type *head_##name(const Head *head, int64_t t) {                                 \
        return (type *)head->args->name + head_place(head->call->layout, head->b, of, t);          \
    }
HEAD_ROW(const stored, q, q, head->h)
HEAD_ROW(const stored, k, k, head_kv(head))
HEAD_ROW(const stored, v, v, head_kv(head))
HEAD_ROW(const stored, dout, out, head->h)
HEAD_ROW(stored, out, out, head->h)
HEAD_ROW(stored, dq, q, head->h)
HEAD_ROW(stored, dk, k, head_kv(head))
HEAD_ROW(stored, dv, v, head_kv(head))
#undef HEAD_ROW

/* Rows of a head as `real`: those of the tensor, or in 16 bits those of a dense copy. */
typedef struct RowsView {
    real *at;
    int stride;
} RowsView;

static inline RowsView rows_of(const stored *x, int64_t stride, int64_t HS, real *copy) {
    return IS_NARROW ? (RowsView){copy, (int)HS} : (RowsView){(real *)x, (int)stride};
}

static inline real *row_of(RowsView rows, int64_t t) { return rows.at + t * rows.stride; }

static inline RowsView rows_from(RowsView rows, int64_t t) {
    return (RowsView){row_of(rows, t), rows.stride};
}

static inline RowsView rows_read(const stored *x, int64_t stride, int64_t count, int64_t HS,
                                 real *copy) {
    for (int64_t t = 0; IS_NARROW && t < count; t++) values_load(copy + t * HS, x + t * stride, HS);
    return rows_of(x, stride, HS, copy);
}

/* Rounds `count` rows to their tensor. */
static inline void rows_write(RowsView rows, stored *x, int64_t stride, int64_t count, int64_t HS) {
    for (int64_t t = 0; IS_NARROW && t < count; t++)
        values_store(x + t * stride, row_of(rows, t), HS);
}

static inline void rows_clear(RowsView rows, int64_t count, int64_t HS) {
    for (int64_t t = 0; t < count; t++) memset(row_of(rows, t), 0, (size_t)HS * sizeof(real));
}

/* Index of query i in a tensor of (B, NH, Tq). */
static inline int64_t head_query(const Head *head, int64_t i) {
    return (head->b * head->call->NH + head->h) * head->call->Tq + i;
}

/* Stores the maximum and the sum of a row's softmax; a row without visible keys has maximum -inf
 * and sum 0. */
static inline void head_keep(const Head *head, int64_t i, double maximum, double sum) {
    const AttentionCall *call = head->call;
    double *stats = (double *)head->args->stats + head_query(head, i), logarithm = log(sum);
    ((double *)head->args->lse)[head_query(head, i)] = maximum + logarithm;
    if (head->args->stats == NULL) return;
    stats[0] = maximum;
    stats[call->B * call->NH * call->Tq] = logarithm;
}

/* The constants that reproduce a row's weights: exp(score - maximum) * inverse. */
typedef struct RowStats {
    real maximum, inverse;
} RowStats;

static inline RowStats head_stats(const Head *head, int64_t i) {
    const AttentionCall *call = head->call;
    const double *stats = (const double *)head->args->stats + head_query(head, i);
    return (RowStats){(real)stats[0], (real)exp(-stats[call->B * call->NH * call->Tq])};
}

/* The value subtracted before exponentials: 0 for a maximum of -inf, which is that of a row without
 * visible keys, so that its exponentials are 0. */
static inline real base_of(real maximum) { return maximum == (real)-INFINITY ? 0 : maximum; }

/* The largest of x[first, end) and `highest`. Ignores a NaN, because its exponential is NaN
 * anyway. */
static inline real row_maximum(const real *x, int64_t first, int64_t end, real highest) {
#pragma omp simd reduction(max : highest)
    for (int64_t j = first; j < end; j++) highest = x[j] > highest ? x[j] : highest;
    return highest;
}

/* x = exp(x - base) in [first, end); returns the sum. */
static inline real row_exponentials(real *x, int64_t first, int64_t end, real base) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = first; j < end; j++) {
        x[j] = real_exp(x[j] - base);
        sum += x[j];
    }
    return sum;
}

/* Sets x[0, count) to 0 except in [first, end). */
static inline void outside_clear(real *x, int64_t first, int64_t end, int64_t count) {
    memset(x, 0, (size_t)first * sizeof *x);
    memset(x + end, 0, (size_t)(count - end) * sizeof *x);
}

static inline void head_visible(const Head *head, int64_t i, int64_t *first, int64_t *end) {
    attention_visible_in(head->call, head->args, head->b, i, first, end);
}

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The keys of [k0, k0 + keys) that query i sees, as columns relative to k0. */
static inline void head_columns(const Head *head, int64_t i, int64_t k0, int64_t keys,
                                int64_t *first, int64_t *end) {
    head_visible(head, i, first, end);
    *first = *first < k0 ? 0 : least(*first - k0, keys);
    *end = *end < k0 ? 0 : least(*end - k0, keys);
}

/* Whether the mask hides all of these keys from all of queries [q0, q0 + rows); bounds never
 * fall. */
static inline bool head_is_blind(const Head *head, int64_t q0, int64_t rows, int64_t k0,
                                 int64_t keys) {
    int64_t first, end, unused;
    head_visible(head, q0, &first, &unused);
    head_visible(head, q0 + rows - 1, &unused, &end);
    return end <= k0 || first >= k0 + keys;
}

/* x *= factor. */
static inline void row_scale(real *x, int64_t count, real factor) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) x[j] *= factor;
}

/* The sum over HS of dout * out for query i, which is subtracted from every dP of its row. */
static inline real head_delta(const Head *head, int64_t i) {
    const stored *out = head_out(head, i), *dout = head_dout(head, i);
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < head->call->HS; j++) sum += load(out[j]) * load(dout[j]);
    return sum;
}
