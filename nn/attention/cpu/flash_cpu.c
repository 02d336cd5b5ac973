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
    real *scores; /* (rows, FLASH_KEYS) */
} FlashTile;

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
     (real)call->scale, head_q(&tile->head, tile->q0), (int)call->q.token,
     head_k(&tile->head, tile->k0), (int)call->k.token, 0, tile->scores, FLASH_KEYS);
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
    int64_t out_row = call->out.token;
    real *out = head_out(&tile->head, tile->q0);
    for (int row = 0; row < tile->rows; row++) {
        memset(out + row * out_row, 0, (size_t)call->HS * sizeof *out);
        maxima[row] = (real)-INFINITY;
        sums[row] = 0;
    }
    for (tile->k0 = 0; tile->k0 < call->Tk; tile->k0 += FLASH_KEYS) {
        tile->keys = (int)least(FLASH_KEYS, call->Tk - tile->k0);
        if (is_empty(tile)) continue;
        tile_scores(tile);
        for (int row = 0; row < tile->rows; row++) {
            row_forward(tile, row, &maxima[row], &sums[row], out + row * out_row);
        }
        Pairs pairs = pairs_of(tile, tile->scores);
        pairs_product(&pairs, false, head_v(&tile->head, tile->k0), (int)call->v.token, true, out,
                      (int)out_row);
    }
    for (int row = 0; row < tile->rows; row++) {
        real total = head_total(&tile->head, tile->q0 + row, sums[row]);
        row_scale(out + row * out_row, call->HS, total == 0 ? 0 : 1 / total);
        head_keep(&tile->head, tile->q0 + row, (double)maxima[row], (double)total);
    }
}

static real *scratch_of(const AttentionCall *call, const AttentionArgs *args) {
    return (real *)args->workspace + flash_scratch(call) * (size_t)omp_get_thread_num();
}

Status KERNEL(flash_forward)(const Node *node, void *stream) {
    (void)stream;
    const AttentionAttrs *attrs = node->attrs;
    const AttentionCall *call = &attrs->call;
    AttentionArgs args = attention_forward_args(node);
    int64_t blocks = (call->Tq + FLASH_ROWS - 1) / FLASH_ROWS;
#pragma omp parallel for schedule(dynamic)
    for (int64_t index = 0; index < call->B * call->NH * blocks; index++) {
        real *scratch = scratch_of(call, &args),
             *statistics = scratch + 2 * FLASH_ROWS * FLASH_KEYS;
        int64_t head = index / blocks, q0 = index % blocks * FLASH_ROWS;
        FlashTile tile = {.head = {call, &args, head / call->NH, head % call->NH},
                          .q0 = q0,
                          .rows = (int)least(FLASH_ROWS, call->Tq - q0),
                          .scores = scratch};
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
    const AttentionCall *call = tile->head.call;
    int rows = tile->rows, keys = tile->keys, HS = (int)call->HS;
    int q_row = (int)call->q.token, k_row = (int)call->k.token, v_row = (int)call->v.token,
        o_row = (int)call->out.token;
    const real *dout = head_dout(&tile->head, tile->q0);
    real *dq = head_dq(&tile->head, tile->q0);
    real *dk = head_dk(&tile->head, tile->k0), *dv = head_dv(&tile->head, tile->k0);
    tile_scores(tile);
    BLAS(gemm)
    (CblasRowMajor, CblasNoTrans, CblasTrans, rows, keys, HS, 1, dout, o_row,
     head_v(&tile->head, tile->k0), v_row, 0, d, FLASH_KEYS);
    for (int row = 0; row < rows; row++) row_backward(tile, row, deltas[tile->q0 + row], d);
    Pairs weights = pairs_of(tile, tile->scores), gradients = pairs_of(tile, d);
    pairs_product(&weights, true, dout, o_row, true, dv, v_row);
    pairs_product(&gradients, false, head_k(&tile->head, tile->k0), k_row, true, dq, q_row);
    pairs_product(&gradients, true, head_q(&tile->head, tile->q0), q_row, true, dk, k_row);
}

static void head_backward(FlashTile *tile, real *scratch) {
    const AttentionCall *call = tile->head.call;
    real *d = scratch + FLASH_ROWS * FLASH_KEYS,
         *deltas = scratch + 2 * FLASH_ROWS * FLASH_KEYS + 2 * FLASH_ROWS;
    head_clear(tile->head.args->dq, call->q, tile->head.b, tile->head.h, call->Tq, call->HS);
    for (int64_t i = 0; i < call->Tq; i++) deltas[i] = head_delta(&tile->head, i);
    for (tile->k0 = 0; tile->k0 < call->Tk; tile->k0 += FLASH_KEYS) {
        tile->keys = (int)least(FLASH_KEYS, call->Tk - tile->k0);
        for (tile->q0 = 0; tile->q0 < call->Tq; tile->q0 += FLASH_ROWS) {
            tile->rows = (int)least(FLASH_ROWS, call->Tq - tile->q0);
            if (!is_empty(tile)) tile_backward(tile, deltas, d);
        }
    }
}

/* One thread per group of heads that share keys, so dk and dv have one writer. */
Status KERNEL(flash_backward)(const Node *node, void *stream) {
    (void)stream;
    const AttentionAttrs *attrs = node->attrs;
    const AttentionCall *call = &attrs->call;
    AttentionArgs args = attention_backward_args(node);
    int64_t group = call->NH / call->NH_kv;
#pragma omp parallel for schedule(dynamic)
    for (int64_t kv = 0; kv < call->B * call->NH_kv; kv++) {
        real *scratch = scratch_of(call, &args);
        int64_t b = kv / call->NH_kv, h = kv % call->NH_kv;
        head_clear(args.dk, call->k, b, h, call->Tk, call->HS);
        head_clear(args.dv, call->v, b, h, call->Tk, call->HS);
        for (int64_t i = 0; i < group; i++) {
            FlashTile tile = {.head = {call, &args, b, h * group + i}, .scores = scratch};
            head_backward(&tile, scratch);
        }
    }
    return OK;
}
