/* flash on the CPU: tiles of 64 queries by 128 keys (32 KiB of f32 scores: half of an L1), online
 * softmax, and in backward weights recomputed from the rows' saved maxima and sums. No array of
 * size T^2 exists. Fully masked tiles are skipped, which halves the products of a causal call and
 * saves more with documents. Source: Dao, arXiv:2307.08691, algorithms 1 and 2. */
#include "nn/attention/cpu/flash_cpu.h"

#include "nn/attention/attention.h"
#include "nn/attention/cpu/dropout_cpu.h"
#include "nn/attention/cpu/product_cpu.h"

#include <omp.h>

DECLARE_KERNELS(flash_forward);
DECLARE_KERNELS(flash_backward);

/* A tile: queries [q0, q0 + rows) against keys [k0, k0 + keys) of one head. */
typedef struct FlashTile {
    Head head;
    int64_t q0, k0;
    int rows, keys;
    real *scores;          /* (rows, FLASH_KEYS) */
    RowsView q, out, k, v; /* of the tile; backward: out is dout */
    RowsView dq, dk, dv;   /* of the head */
} FlashTile;

/* The tile of a thread for one head; in 16 bits with the places of its copies. */
static FlashTile tile_of(const AttentionCall *call, const AttentionArgs *args, int64_t b,
                         int64_t h) {
    real *scratch = (real *)args->workspace + flash_scratch(call) * (size_t)omp_get_thread_num();
    int64_t HS = call->HS;
    FlashTile tile = {.head = {call, args, b, h}, .scores = scratch};
    if (!IS_NARROW) return tile;
    real *at = scratch + flash_sums(call);
    tile.q.at = at, at += FLASH_ROWS * HS;
    tile.out.at = at, at += FLASH_ROWS * HS;
    tile.k.at = at, at += FLASH_KEYS * HS;
    tile.v.at = at, at += FLASH_KEYS * HS;
    tile.dq.at = at, at += call->Tq * HS;
    tile.dk.at = at, at += call->Tk * HS;
    tile.dv.at = at;
    return tile;
}

static void keys_take(FlashTile *tile, int64_t k0) {
    const AttentionCall *call = tile->head.call;
    tile->k0 = k0;
    tile->keys = (int)least(FLASH_KEYS, call->Tk - k0);
}

static void queries_take(FlashTile *tile, int64_t q0) {
    const AttentionCall *call = tile->head.call;
    tile->q0 = q0;
    tile->rows = (int)least(FLASH_ROWS, call->Tq - q0);
}

static void keys_read(FlashTile *tile) {
    const AttentionCall *call = tile->head.call;
    tile->k =
        rows_read(head_k(&tile->head, tile->k0), call->k.token, tile->keys, call->HS, tile->k.at);
    tile->v =
        rows_read(head_v(&tile->head, tile->k0), call->v.token, tile->keys, call->HS, tile->v.at);
}

static void queries_read(FlashTile *tile) {
    const AttentionCall *call = tile->head.call;
    tile->q =
        rows_read(head_q(&tile->head, tile->q0), call->q.token, tile->rows, call->HS, tile->q.at);
}

static void row_visible(const FlashTile *tile, int row, int64_t *first, int64_t *end) {
    head_columns(&tile->head, tile->q0 + row, tile->k0, tile->keys, first, end);
}

static bool is_empty(const FlashTile *tile) {
    return head_is_blind(&tile->head, tile->q0, tile->rows, tile->k0, tile->keys);
}

static Pairs pairs_of(const FlashTile *tile, const real *weights) {
    return (Pairs){&tile->head, tile->q0, tile->k0, tile->rows, tile->keys, weights, FLASH_KEYS};
}

/* scores = scale q k^T, capped. Rounded before the maximum is subtracted, so that equal scores give
 * exactly 0. */
static void tile_scores(const FlashTile *tile) {
    const AttentionCall *call = tile->head.call;
    BLAS(gemm)
    (CblasRowMajor, CblasNoTrans, CblasTrans, tile->rows, tile->keys, (int)call->HS,
     (real)call->scale, tile->q.at, tile->q.stride, tile->k.at, tile->k.stride, 0, tile->scores,
     FLASH_KEYS);
    for (int row = 0; row < tile->rows; row++)
        head_cap(&tile->head, tile->keys, tile->scores + row * FLASH_KEYS);
}

/* Online softmax of one row: turns its scores into weights relative to the new maximum, and
 * rescales the previous sums. */
static void row_forward(const FlashTile *tile, int row, real *maximum, real *sum, real *out) {
    real *x = tile->scores + row * FLASH_KEYS;
    int64_t first, end;
    row_visible(tile, row, &first, &end);
    outside_clear(x, first, end, tile->keys);
    if (first == end) return;
    real highest = row_maximum(x, first, end, *maximum), base = base_of(highest);
    real correction = real_exp(*maximum - base);
    row_scale(out, tile->head.call->HS, correction);
    *sum = *sum * correction + row_exponentials(x, first, end, base);
    *maximum = highest;
    head_drop(&tile->head, tile->q0 + row, tile->k0 + first, tile->k0 + end, x + first);
}

/* One block of queries against all keys. */
static void block_forward(FlashTile *tile, real *maxima, real *sums) {
    const AttentionCall *call = tile->head.call;
    stored *place = head_out(&tile->head, tile->q0);
    RowsView out = rows_of(place, call->out.token, call->HS, tile->out.at);
    queries_read(tile);
    rows_clear(out, tile->rows, call->HS);
    for (int row = 0; row < tile->rows; row++) {
        maxima[row] = (real)-INFINITY;
        sums[row] = 0;
    }
    for (int64_t k0 = 0; k0 < call->Tk; k0 += FLASH_KEYS) {
        keys_take(tile, k0);
        if (is_empty(tile)) continue;
        keys_read(tile);
        tile_scores(tile);
        for (int row = 0; row < tile->rows; row++)
            row_forward(tile, row, &maxima[row], &sums[row], row_of(out, row));
        Pairs pairs = pairs_of(tile, tile->scores);
        pairs_product(&pairs, false, tile->v, true, out);
    }
    for (int row = 0; row < tile->rows; row++) {
        real total = head_total(&tile->head, tile->q0 + row, sums[row]);
        row_scale(row_of(out, row), call->HS, total == 0 ? 0 : 1 / total);
        head_keep(&tile->head, tile->q0 + row, (double)maxima[row], (double)total);
    }
    rows_write(out, place, call->out.token, tile->rows, call->HS);
}

Status KERNEL(flash_forward)(const Node *node, void *stream) {
    (void)stream;
    const AttentionAttrs *attrs = node->attrs;
    const AttentionCall *call = &attrs->call;
    AttentionArgs args = attention_forward_args(node);
    int64_t blocks = (call->Tq + FLASH_ROWS - 1) / FLASH_ROWS;
#pragma omp parallel for schedule(dynamic)
    for (int64_t index = 0; index < call->B * call->NH * blocks; index++) {
        int64_t head = index / blocks;
        FlashTile tile = tile_of(call, &args, head / call->NH, head % call->NH);
        real *statistics = tile.scores + 2 * FLASH_ROWS * FLASH_KEYS;
        queries_take(&tile, index % blocks * FLASH_ROWS);
        block_forward(&tile, statistics, statistics + FLASH_ROWS);
    }
    return OK;
}

/* Turns a row's scores into weights P with dropout's mask, and d, on entry dP = dout v^T, into dS =
 * P (dP - delta) scale, times the slope of the softcap. */
static void row_backward(const FlashTile *tile, int row, real delta, real *d) {
    const AttentionCall *call = tile->head.call;
    real *x = tile->scores + row * FLASH_KEYS, *g = d + row * FLASH_KEYS, scale = (real)call->scale;
    int64_t first, end;
    real slopes[FLASH_KEYS];
    row_visible(tile, row, &first, &end);
    for (int64_t j = first; j < end && call->softcap > 0; j++)
        slopes[j] = head_slope(&tile->head, tile->q0 + row, tile->k0 + j, x[j]);
    RowStats stats = head_stats(&tile->head, tile->q0 + row);
    head_drop(&tile->head, tile->q0 + row, tile->k0 + first, tile->k0 + end, g + first);
#pragma omp simd
    for (int64_t j = first; j < end; j++) {
        x[j] = real_exp(x[j] - stats.maximum) * stats.inverse;
        g[j] = x[j] * (g[j] - delta) * scale;
    }
    for (int64_t j = first; j < end && call->softcap > 0; j++) g[j] *= slopes[j];
    head_drop(&tile->head, tile->q0 + row, tile->k0 + first, tile->k0 + end, x + first);
    outside_clear(x, first, end, tile->keys);
    outside_clear(g, first, end, tile->keys);
}

/* dv += P^T dout, dq += dS k, dk += dS^T q for one tile. */
static void tile_backward(const FlashTile *tile, const real *deltas, real *d) {
    int rows = tile->rows, keys = tile->keys, HS = (int)tile->head.call->HS;
    tile_scores(tile);
    BLAS(gemm)
    (CblasRowMajor, CblasNoTrans, CblasTrans, rows, keys, HS, 1, tile->out.at, tile->out.stride,
     tile->v.at, tile->v.stride, 0, d, FLASH_KEYS);
    for (int row = 0; row < rows; row++) row_backward(tile, row, deltas[tile->q0 + row], d);
    Pairs weights = pairs_of(tile, tile->scores), gradients = pairs_of(tile, d);
    pairs_product(&weights, true, tile->out, true, rows_from(tile->dv, tile->k0));
    pairs_product(&gradients, false, tile->k, true, rows_from(tile->dq, tile->q0));
    pairs_product(&gradients, true, tile->q, true, rows_from(tile->dk, tile->k0));
}

static void head_backward(FlashTile *tile) {
    const AttentionCall *call = tile->head.call;
    real *d = tile->scores + FLASH_ROWS * FLASH_KEYS, *deltas = d + FLASH_ROWS * FLASH_KEYS;
    deltas += 2 * FLASH_ROWS;
    stored *place = head_dq(&tile->head, 0);
    tile->dq = rows_of(place, call->q.token, call->HS, tile->dq.at);
    rows_clear(tile->dq, call->Tq, call->HS);
    for (int64_t i = 0; i < call->Tq; i++) deltas[i] = head_delta(&tile->head, i);
    for (int64_t k0 = 0; k0 < call->Tk; k0 += FLASH_KEYS) {
        keys_take(tile, k0);
        keys_read(tile);
        for (int64_t q0 = 0; q0 < call->Tq; q0 += FLASH_ROWS) {
            queries_take(tile, q0);
            if (is_empty(tile)) continue;
            queries_read(tile);
            tile->out = rows_read(head_dout(&tile->head, q0), call->out.token, tile->rows, call->HS,
                                  tile->out.at);
            tile_backward(tile, deltas, d);
        }
    }
    rows_write(tile->dq, place, call->q.token, call->Tq, call->HS);
}

/* The heads that share keys, so dk and dv have one writer. */
static void group_backward(const AttentionCall *call, const AttentionArgs *args, int64_t kv) {
    int64_t group = call->NH / call->NH_kv, HS = call->HS;
    FlashTile tile = tile_of(call, args, kv / call->NH_kv, kv % call->NH_kv * group);
    stored *dk = head_dk(&tile.head, 0), *dv = head_dv(&tile.head, 0);
    tile.dk = rows_of(dk, call->k.token, HS, tile.dk.at);
    tile.dv = rows_of(dv, call->v.token, HS, tile.dv.at);
    rows_clear(tile.dk, call->Tk, HS);
    rows_clear(tile.dv, call->Tk, HS);
    for (int64_t i = 0; i < group; i++, tile.head.h++) head_backward(&tile);
    rows_write(tile.dk, dk, call->k.token, call->Tk, HS);
    rows_write(tile.dv, dv, call->v.token, call->Tk, HS);
}

Status KERNEL(flash_backward)(const Node *node, void *stream) {
    (void)stream;
    const AttentionAttrs *attrs = node->attrs;
    const AttentionCall *call = &attrs->call;
    AttentionArgs args = attention_backward_args(node);
#pragma omp parallel for schedule(dynamic)
    for (int64_t kv = 0; kv < call->B * call->NH_kv; kv++) group_backward(call, &args, kv);
    return OK;
}
