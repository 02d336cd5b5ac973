/* mem_efficient on the CPU: linear memory for every mask, including arbitrary ones, which flash
 * refuses.
 *
 * Keys are processed in chunks. Attention over one chunk gives for every query the values, the sum
 * of exponentials, and the maximum to which these are relative. These summaries are merged, so that
 * only one chunk of scores is in memory at a time. Backward processes the same chunks and
 * recomputes the weights from the rows' maxima and sums. Source: Rabe and Staats, arXiv:2112.05682,
 * sections 2 and 3. */
#include "nn/attention/cpu/mem_efficient_cpu.h"
#include "nn/attention/attention.h"
#include "nn/attention/cpu/dropout_cpu.h"
#include "nn/attention/cpu/product_cpu.h"

#include <omp.h>

DECLARE_KERNELS(mem_efficient_forward);
DECLARE_KERNELS(mem_efficient_backward);

/* Queries [q0, q0 + rows) against keys [k0, k0 + keys). */
typedef struct Chunk {
    Head head;
    int64_t q0, k0;
    int rows, keys;
    real *scores, *d;             /* (rows, EFFICIENT_KEYS) */
    real *q;                      /* (rows, HS), scaled */
    real *values;                 /* (rows, HS): of this chunk; in backward the sum of dq */
    real *maxima, *sums, *deltas; /* (rows) */
    RowsView out, k, v;           /* of the chunk; backward: out is dout */
    RowsView dk, dv;              /* of the head */
} Chunk;

static Chunk chunk_of(const AttentionCall *call, const AttentionArgs *args, int64_t head) {
    real *at = (real *)args->workspace + mem_efficient_scratch(call) * (size_t)omp_get_thread_num();
    Chunk chunk = {.head = {call, args, head / call->NH, head % call->NH}};
    chunk.scores = at, at += EFFICIENT_ROWS * EFFICIENT_KEYS;
    chunk.d = at, at += EFFICIENT_ROWS * EFFICIENT_KEYS;
    chunk.q = at, at += EFFICIENT_ROWS * call->HS;
    chunk.values = at, at += EFFICIENT_ROWS * call->HS;
    chunk.maxima = at, chunk.sums = at + EFFICIENT_ROWS, chunk.deltas = at + 2 * EFFICIENT_ROWS;
    if (!IS_NARROW) return chunk;
    at += 3 * EFFICIENT_ROWS;
    chunk.out.at = at, at += EFFICIENT_ROWS * call->HS;
    chunk.k.at = at, at += EFFICIENT_KEYS * call->HS;
    chunk.v.at = at, at += EFFICIENT_KEYS * call->HS;
    chunk.dk.at = at, at += call->Tk * call->HS;
    chunk.dv.at = at;
    return chunk;
}

static void queries_take(Chunk *c, int64_t q0) {
    const AttentionCall *call = c->head.call;
    real scale = (real)call->scale;
    c->q0 = q0;
    c->rows = (int)least(EFFICIENT_ROWS, call->Tq - q0);
    for (int row = 0; row < c->rows; row++) {
        const stored *q = head_q(&c->head, q0 + row);
        for (int64_t j = 0; j < call->HS; j++) c->q[row * call->HS + j] = scale * load(q[j]);
    }
}

/* The chunk of keys; false if the mask hides all of them from all of its queries. */
static bool keys_take(Chunk *c, int64_t k0) {
    const AttentionCall *call = c->head.call;
    c->k0 = k0;
    c->keys = (int)least(EFFICIENT_KEYS, call->Tk - k0);
    if (head_is_blind(&c->head, c->q0, c->rows, k0, c->keys)) return false;
    c->k = rows_read(head_k(&c->head, k0), call->k.token, c->keys, call->HS, c->k.at);
    c->v = rows_read(head_v(&c->head, k0), call->v.token, c->keys, call->HS, c->v.at);
    return true;
}

static void row_columns(const Chunk *c, int row, int64_t *first, int64_t *end) {
    head_columns(&c->head, c->q0 + row, c->k0, c->keys, first, end);
}

/* scores = scale q k^T, capped, + bias; hidden columns are not used. */
static void chunk_scores(const Chunk *c) {
    const AttentionCall *call = c->head.call;
    int HS = (int)call->HS;
    BLAS(gemm)
    (CblasRowMajor, CblasNoTrans, CblasTrans, c->rows, c->keys, HS, 1, c->q, HS, c->k.at,
     c->k.stride, 0, c->scores, EFFICIENT_KEYS);
    for (int row = 0; row < c->rows; row++)
        head_cap(&c->head, c->keys, c->scores + row * EFFICIENT_KEYS);
    if (call->bias == BIAS_NONE) return;
    for (int row = 0; row < c->rows; row++) {
        head_bias(&c->head, c->q0 + row, c->k0, c->k0 + c->keys, c->scores + row * EFFICIENT_KEYS);
    }
}

static void row_drop(const Chunk *c, int row, int64_t first, int64_t end, real *x) {
    head_drop(&c->head, c->q0 + row, c->k0 + first, c->k0 + end, x + first);
}

static Pairs pairs_of(const Chunk *c, const real *weights) {
    return (Pairs){&c->head, c->q0, c->k0, c->rows, c->keys, weights, EFFICIENT_KEYS, false};
}

/* Turns the row's scores into exponentials relative to the chunk's maximum (-inf if no key of the
 * chunk is visible). */
static void row_summarize(const Chunk *c, int row, real *maximum, real *sum) {
    real *x = c->scores + row * EFFICIENT_KEYS;
    int64_t first, end;
    row_columns(c, row, &first, &end);
    *maximum = row_maximum(x, first, end, (real)-INFINITY);
    *sum = row_exponentials(x, first, end, base_of(*maximum));
    outside_clear(x, first, end, c->keys);
    row_drop(c, row, first, end, x);
}

/* Merges the chunk's values, maximum and sum into out and (maxima, sums); both sides are rescaled
 * to the larger maximum. */
static void row_merge(const Chunk *c, int row, real maximum, real sum, real *out) {
    int64_t HS = c->head.call->HS;
    const real *values = c->values + row * HS;
    real highest = c->maxima[row] > maximum ? c->maxima[row] : maximum, base = base_of(highest);
    real before = real_exp(c->maxima[row] - base), here = real_exp(maximum - base);
#pragma omp simd
    for (int64_t j = 0; j < HS; j++) out[j] = out[j] * before + values[j] * here;
    c->sums[row] = c->sums[row] * before + sum * here;
    c->maxima[row] = highest;
}

static void chunk_forward(const Chunk *c) {
    real maxima[EFFICIENT_ROWS], sums[EFFICIENT_ROWS];
    chunk_scores(c);
    for (int row = 0; row < c->rows; row++) row_summarize(c, row, &maxima[row], &sums[row]);
    Pairs pairs = pairs_of(c, c->scores);
    pairs_product(&pairs, false, c->v, false, (RowsView){c->values, (int)c->head.call->HS});
    for (int row = 0; row < c->rows; row++)
        row_merge(c, row, maxima[row], sums[row], row_of(c->out, row));
}

static void queries_forward(Chunk *c, int64_t q0) {
    const AttentionCall *call = c->head.call;
    stored *place = head_out(&c->head, q0);
    queries_take(c, q0);
    c->out = rows_of(place, call->out.token, call->HS, c->out.at);
    rows_clear(c->out, c->rows, call->HS);
    for (int row = 0; row < c->rows; row++) {
        c->maxima[row] = (real)-INFINITY;
        c->sums[row] = 0;
    }
    for (int64_t k0 = 0; k0 < call->Tk; k0 += EFFICIENT_KEYS) {
        if (keys_take(c, k0)) chunk_forward(c);
    }
    for (int row = 0; row < c->rows; row++) {
        real total = head_total(&c->head, q0 + row, c->sums[row]);
        row_scale(row_of(c->out, row), call->HS, total == 0 ? 0 : 1 / total);
        head_keep(&c->head, q0 + row, (double)c->maxima[row], (double)total);
    }
    rows_write(c->out, place, call->out.token, c->rows, call->HS);
}

Status KERNEL(mem_efficient_forward)(const Node *node, void *stream) {
    (void)stream;
    const AttentionCall *call = &((const AttentionAttrs *)node->attrs)->call;
    AttentionArgs args = attention_forward_args(node);
    int64_t blocks = (call->Tq + EFFICIENT_ROWS - 1) / EFFICIENT_ROWS;
#pragma omp parallel for schedule(dynamic)
    for (int64_t index = 0; index < call->B * call->NH * blocks; index++) {
        Chunk chunk = chunk_of(call, &args, index / blocks);
        queries_forward(&chunk, index % blocks * EFFICIENT_ROWS);
    }
    return OK;
}

/* Turns scores into weights with dropout's mask, and d, on entry dP = dout v^T, into dS = P (dP -
 * delta), times the slope of the softcap. */
static void row_gradient(const Chunk *c, int row) {
    real *x = c->scores + row * EFFICIENT_KEYS, *d = c->d + row * EFFICIENT_KEYS,
         delta = c->deltas[row];
    RowStats stats = head_stats(&c->head, c->q0 + row);
    int64_t first, end;
    bool is_capped = c->head.call->softcap > 0;
    real slopes[EFFICIENT_KEYS];
    row_columns(c, row, &first, &end);
    row_drop(c, row, first, end, d);
    for (int64_t j = first; j < end && is_capped; j++)
        slopes[j] = head_slope(&c->head, c->q0 + row, c->k0 + j, x[j]);
#pragma omp simd
    for (int64_t j = first; j < end; j++) {
        x[j] = real_exp(x[j] - stats.maximum) * stats.inverse;
        d[j] = x[j] * (d[j] - delta);
    }
    outside_clear(x, first, end, c->keys);
    outside_clear(d, first, end, c->keys);
    head_hide(&c->head, c->q0 + row, c->k0 + first, c->k0 + end, x + first);
    head_hide(&c->head, c->q0 + row, c->k0 + first, c->k0 + end, d + first);
    head_dbias(&c->head, c->q0 + row, c->k0 + first, c->k0 + end, d + first);
    for (int64_t j = first; j < end && is_capped; j++) d[j] *= slopes[j];
    row_drop(c, row, first, end, x);
}

/* dv += P^T dout, dq += dS k, dk += dS^T (scale q). */
static void chunk_backward(const Chunk *c) {
    int rows = c->rows, keys = c->keys, HS = (int)c->head.call->HS;
    enum { LD = EFFICIENT_KEYS };
    chunk_scores(c);
    BLAS(gemm)
    (CblasRowMajor, CblasNoTrans, CblasTrans, rows, keys, HS, 1, c->out.at, c->out.stride, c->v.at,
     c->v.stride, 0, c->d, LD);
    for (int row = 0; row < rows; row++) row_gradient(c, row);
    Pairs weights = pairs_of(c, c->scores), gradients = pairs_of(c, c->d);
    pairs_product(&weights, true, c->out, true, rows_from(c->dv, c->k0));
    pairs_product(&gradients, false, c->k, true, (RowsView){c->values, HS});
    pairs_product(&gradients, true, (RowsView){c->q, HS}, true, rows_from(c->dk, c->k0));
}

static void queries_backward(Chunk *c, int64_t q0) {
    const AttentionCall *call = c->head.call;
    queries_take(c, q0);
    c->out = rows_read(head_dout(&c->head, q0), call->out.token, c->rows, call->HS, c->out.at);
    memset(c->values, 0, (size_t)(c->rows * call->HS) * sizeof(real));
    for (int row = 0; row < c->rows; row++) c->deltas[row] = head_delta(&c->head, q0 + row);
    for (int64_t k0 = 0; k0 < call->Tk; k0 += EFFICIENT_KEYS) {
        if (keys_take(c, k0)) chunk_backward(c);
    }
    for (int row = 0; row < c->rows; row++) {
        const real *sum = c->values + row * call->HS;
        stored *dq = head_dq(&c->head, q0 + row);
        for (int64_t j = 0; j < call->HS; j++) dq[j] = store((real)call->scale * sum[j]);
    }
}

/* A group of heads that share keys. */
static void group_backward(const AttentionCall *call, const AttentionArgs *args, int64_t item) {
    int64_t group = call->NH / call->NH_kv, HS = call->HS;
    Chunk chunk = chunk_of(call, args, item * group);
    stored *dk = head_dk(&chunk.head, 0), *dv = head_dv(&chunk.head, 0);
    chunk.dk = rows_of(dk, call->k.token, HS, chunk.dk.at);
    chunk.dv = rows_of(dv, call->v.token, HS, chunk.dv.at);
    rows_clear(chunk.dk, call->Tk, HS);
    rows_clear(chunk.dv, call->Tk, HS);
    for (int64_t i = 0; i < group; i++, chunk.head.h++) {
        for (int64_t q0 = 0; q0 < call->Tq; q0 += EFFICIENT_ROWS) queries_backward(&chunk, q0);
    }
    rows_write(chunk.dk, dk, call->k.token, call->Tk, HS);
    rows_write(chunk.dv, dv, call->v.token, call->Tk, HS);
}

Status KERNEL(mem_efficient_backward)(const Node *node, void *stream) {
    (void)stream;
    const AttentionCall *call = &((const AttentionAttrs *)node->attrs)->call;
    AttentionArgs args = attention_backward_args(node);
    BiasWork work = attention_bias_work(call, &args);
    attention_dbias_clear(call, &args);
#pragma omp parallel for schedule(dynamic)
    for (int64_t part = 0; part < work.parts; part++) {
        for (int64_t step = 0; step < work.steps; step++) {
            group_backward(call, &args, attention_bias_item(call, &work, part, step));
        }
    }
    return OK;
}
