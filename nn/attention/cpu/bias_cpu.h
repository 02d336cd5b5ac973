/* The softcap and arbitrary masks on the CPU, boolean or additive, and the gradient of an additive
 * bias.
 *
 * The gradient is summed over the dimensions in which the bias is broadcast. Threads divide only
 * the other dimensions (rows of the batch, or groups of heads), so each gradient has one writer,
 * which adds in order. The sums are the same for every number of threads. */
#pragma once

#include "nn/attention/cpu/head_cpu.h"

/* Whether the bias hides key j from query i: a boolean one of 0, an additive one of -inf. */
static inline bool head_hides(const Head *head, int64_t i, int64_t j) {
    int64_t place = head_place(head->call->bias_layout, head->b, head->h, i) + j;
    if (head->call->bias == BIAS_NONE) return false;
    if (head->call->bias == BIAS_BOOLEAN) return ((const uint8_t *)head->args->bias)[place] == 0;
    return ((const real *)head->args->bias)[place] == (real)-INFINITY;
}

/* Sets x[j - first] = 0 for those of keys [first, end) that the bias hides from query i. */
static inline void head_hide(const Head *head, int64_t i, int64_t first, int64_t end, real *x) {
    if (head->call->bias == BIAS_NONE) return;
    for (int64_t j = first; j < end; j++) {
        if (head_hides(head, i, j)) x[j - first] = 0;
    }
}

/* The denominator of a row's softmax from the sum of its exponentials: 0 if query i sees no key;
 * NaN if all visible scores are -inf, because that softmax does not exist. */
static inline real head_total(const Head *head, int64_t i, real sum) {
    int64_t first, end;
    if (sum != 0) return sum;
    head_visible(head, i, &first, &end);
    while (first < end && head_hides(head, i, first)) first++;
    return first < end ? (real)NAN : 0;
}

/* Caps `count` scaled scores if the call has a softcap. */
static inline void head_cap(const Head *head, int64_t count, real *x) {
    real cap = (real)head->call->softcap;
    if (cap <= 0) return;
#pragma omp simd
    for (int64_t j = 0; j < count; j++) x[j] = cap * real_tanh(x[j] / cap);
}

/* The derivative of the softcap at key j, from the capped and biased score; 1 for a hidden key. */
static inline real head_slope(const Head *head, int64_t i, int64_t j, real score) {
    int64_t place = head_place(head->call->bias_layout, head->b, head->h, i) + j;
    if (score == (real)-INFINITY) return 1;
    if (head->call->bias == BIAS_ADDITIVE) score -= ((const real *)head->args->bias)[place];
    real t = score / (real)head->call->softcap;
    return 1 - t * t;
}

/* x[j - first] is the scaled score of key j for query i, for keys [first, end). Adds the bias; sets
 * -inf for hidden keys. */
static inline void head_bias(const Head *head, int64_t i, int64_t first, int64_t end, real *x) {
    const AttentionCall *call = head->call;
    const AttentionArgs *args = head->args;
    int64_t place = head_place(call->bias_layout, head->b, head->h, i) + first, count = end - first;
    if (call->bias == BIAS_ADDITIVE) {
        const real *bias = (const real *)args->bias + place;
#pragma omp simd
        for (int64_t j = 0; j < count; j++)
            x[j] = bias[j] == (real)-INFINITY ? bias[j] : x[j] + bias[j];
    } else if (call->bias == BIAS_BOOLEAN) {
        const uint8_t *seen = (const uint8_t *)args->bias + place;
#pragma omp simd
        for (int64_t j = 0; j < count; j++) x[j] = seen[j] != 0 ? x[j] : (real)-INFINITY;
    }
}

/* dbias += d for keys [first, end) of query i; d[j - first] is the gradient of the scaled score. */
static inline void head_dbias(const Head *head, int64_t i, int64_t first, int64_t end,
                              const real *d) {
    if (head->args->dbias == NULL) return;
    real *dbias = (real *)head->args->dbias +
                  head_place(head->call->bias_layout, head->b, head->h, i) + first;
#pragma omp simd
    for (int64_t j = 0; j < end - first; j++) dbias[j] += d[j];
}

static inline void attention_dbias_clear(const AttentionCall *call, const AttentionArgs *args) {
    HeadLayout layout = call->bias_layout;
    if (args->dbias == NULL) return;
    for (int64_t b = 0; b < (layout.batch == 0 ? 1 : call->B); b++) {
        for (int64_t h = 0; h < (layout.head == 0 ? 1 : call->NH); h++) {
            for (int64_t i = 0; i < (layout.token == 0 ? 1 : call->Tq); i++) {
                memset((real *)args->dbias + head_place(layout, b, h, i), 0,
                       (size_t)call->Tk * sizeof(real));
            }
        }
    }
}

/* The (B, NH_kv) items of a backward pass: `parts` for the threads, each with `steps` in
 * sequence. */
typedef struct BiasWork {
    int64_t parts, steps;
    bool rows_in_order, heads_in_order;
} BiasWork;

static inline BiasWork attention_bias_work(const AttentionCall *call, const AttentionArgs *args) {
    BiasWork work = {.parts = 1, .steps = 1};
    work.rows_in_order = args->dbias != NULL && call->bias_layout.batch == 0;
    work.heads_in_order = args->dbias != NULL && call->bias_layout.head == 0;
    *(work.rows_in_order ? &work.steps : &work.parts) *= call->B;
    *(work.heads_in_order ? &work.steps : &work.parts) *= call->NH_kv;
    return work;
}

/* The item, b * NH_kv + h, of step `step` in part `part`. */
static inline int64_t attention_bias_item(const AttentionCall *call, const BiasWork *work,
                                          int64_t part, int64_t step) {
    if (work->rows_in_order == work->heads_in_order) return work->rows_in_order ? step : part;
    return work->rows_in_order ? step * call->NH_kv + part : part * call->NH_kv + step;
}
