/* flash on the CPU: tiles of queries by keys (64 by 128 are 32 KiB of f32 scores), online
 * softmax, and in backward weights recomputed from the rows' saved maxima and sums. No array of
 * size T^2 exists. Fully masked tiles are skipped, which halves the products of a causal call and
 * saves more with documents. Small heads have larger tiles and products of their own
 * (tile_product.h). Source: Dao, arXiv:2307.08691, algorithms 1 and 2. */
#include "nn/attention/cpu/flash_cpu.h"

#include "nn/attention/attention.h"
#include "nn/attention/cpu/dropout_cpu.h"
#include "nn/attention/cpu/product_cpu.h"

#include <omp.h>

enum { FLASH_LANES = TILE_VECTOR / sizeof(real) };

DECLARE_KERNELS(flash_forward);
DECLARE_KERNELS(flash_backward);

/* A tile: queries [q0, q0 + rows) against keys [k0, k0 + keys) of one head. */
typedef struct FlashTile {
    Head head;
    FlashShape shape;
    int64_t q0, k0;
    int rows, keys;
    real *scores;          /* (rows, shape.keys) */
    RowsView q, out, k, v; /* of the tile; backward: out is dout */
    RowsView dq, dk, dv;   /* of the head */
    bool is_small;
    RowsView kt, vt; /* if is_small: the head's transposes, a row per element of HS */
} FlashTile;

/* The tile of a thread for one head; in 16 bits with the places of its copies. */
static FlashTile tile_of(const AttentionCall *call, const AttentionArgs *args, bool backward,
                         int64_t b, int64_t h) {
    real *scratch = (real *)args->workspace + flash_scratch(call) * (size_t)omp_get_thread_num();
    FlashShape shape = flash_shape(call, backward);
    int64_t HS = call->HS;
    FlashTile tile = {.head = {call, args, b, h},
                      .shape = shape,
                      .scores = scratch,
                      .is_small = flash_is_small(call)};
    real *at = scratch + flash_sums(call);
    tile.kt = tile.vt = (RowsView){at + flash_copies(call), (int)flash_key_row(call)};
    tile.vt.at += flash_transposes(call) / 2;
    if (!IS_NARROW) return tile;
    tile.q.at = at, at += shape.rows * HS;
    tile.out.at = at, at += shape.rows * HS;
    tile.k.at = at, at += shape.keys * HS;
    tile.v.at = at, at += shape.keys * HS;
    tile.dq.at = at, at += call->Tq * HS;
    tile.dk.at = at, at += call->Tk * HS;
    tile.dv.at = at;
    return tile;
}

static void queries_take(FlashTile *tile, int64_t q0) {
    const AttentionCall *call = tile->head.call;
    tile->q0 = q0;
    tile->rows = (int)least(tile->shape.rows, call->Tq - q0);
    tile->q = rows_read(head_q(&tile->head, q0), call->q.token, tile->rows, call->HS, tile->q.at);
}

static void keys_take(FlashTile *tile, int64_t k0, int64_t end) {
    tile->k0 = k0;
    tile->keys = (int)least(tile->shape.keys, end - k0);
}

/* The keys that the tile's queries see, from the first to the last, extended to whole steps. */
static void keys_visible(const FlashTile *tile, int64_t *first, int64_t *end) {
    int64_t step = tile->shape.step, unused;
    head_visible(&tile->head, tile->q0, first, &unused);
    head_visible(&tile->head, tile->q0 + tile->rows - 1, &unused, end);
    *first = *first / step * step;
    *end = least((*end + step - 1) / step * step, tile->head.call->Tk);
}

static void keys_read(FlashTile *tile) {
    const AttentionCall *call = tile->head.call;
    tile->k =
        rows_read(head_k(&tile->head, tile->k0), call->k.token, tile->keys, call->HS, tile->k.at);
    tile->v =
        rows_read(head_v(&tile->head, tile->k0), call->v.token, tile->keys, call->HS, tile->v.at);
}

static void row_visible(const FlashTile *tile, int row, int64_t *first, int64_t *end) {
    head_columns(&tile->head, tile->q0 + row, tile->k0, tile->keys, first, end);
}

static Pairs pairs_of(const FlashTile *tile, const real *weights) {
    return (Pairs){&tile->head, tile->q0, tile->k0,         tile->rows,
                   tile->keys,  weights,  tile->shape.keys, tile->is_small};
}

/* Transposes the rows of k or v for tile_product, a few rows at a time, since rows may lie 4 KiB
 * apart and evict each other. The columns of absent keys become zeros. */
static void transpose(RowsView out, const stored *x, HeadLayout layout, const AttentionCall *call) {
    for (int64_t t = 0; t < out.stride; t += FLASH_LANES) {
        int64_t rows = least(call->Tk - t, FLASH_LANES);
        for (int64_t j = 0; j < call->HS; j++) {
            for (int64_t i = 0; i < FLASH_LANES; i++)
                row_of(out, j)[t + i] = i < rows ? load(x[(t + i) * layout.token + j]) : 0;
        }
    }
}

/* out = alpha x y^T, of `rows` by `keys`; yt is the transpose of y, for small heads. */
static void tile_product_of(const FlashTile *tile, RowsView x, RowsView y, RowsView yt, real alpha,
                            real *out) {
    int HS = (int)tile->head.call->HS, rows = tile->rows, keys = tile->keys;
    if (tile->is_small) {
        keys = (keys + FLASH_LANES - 1) / FLASH_LANES * FLASH_LANES;
        KERNEL(tile_product)
        (&(TileProduct){rows, keys, HS, x.at, x.stride, 1, yt.at + tile->k0, yt.stride, out,
                        tile->shape.keys, alpha, false});
        return;
    }
    BLAS(gemm)
    (CblasRowMajor, CblasNoTrans, CblasTrans, rows, keys, HS, alpha, x.at, x.stride, y.at, y.stride,
     0, out, tile->shape.keys);
}

/* scores = scale q k^T, capped. Rounded before the maximum is subtracted, so that equal scores give
 * exactly 0. */
static void tile_scores(const FlashTile *tile) {
    const AttentionCall *call = tile->head.call;
    tile_product_of(tile, tile->q, tile->k, tile->kt, (real)call->scale, tile->scores);
    for (int row = 0; row < tile->rows; row++)
        head_cap(&tile->head, tile->keys, tile->scores + row * tile->shape.keys);
}

/* Online softmax of one row: turns its scores into weights relative to the new maximum, and
 * rescales the previous sums. */
static void row_forward(const FlashTile *tile, int row, real *maximum, real *sum, real *out) {
    real *x = tile->scores + row * tile->shape.keys;
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

/* One block of queries against all keys. `sums`: of as many rows as `maxima`. */
static void block_forward(FlashTile *tile, real *maxima, real *sums) {
    const AttentionCall *call = tile->head.call;
    stored *place = head_out(&tile->head, tile->q0);
    RowsView out = rows_of(place, call->out.token, call->HS, tile->out.at);
    int64_t first, end;
    rows_clear(out, tile->rows, call->HS);
    for (int row = 0; row < tile->rows; row++) {
        maxima[row] = (real)-INFINITY;
        sums[row] = 0;
    }
    keys_visible(tile, &first, &end);
    for (int64_t k0 = first; k0 < end; k0 += tile->shape.keys) {
        keys_take(tile, k0, end);
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

/* Block `block` of queries of a head, whose transpose the thread may have already. */
static void head_forward(const AttentionCall *call, const AttentionArgs *args, int64_t head,
                         int64_t block, int64_t *transposed) {
    FlashTile tile = tile_of(call, args, false, head / call->NH, head % call->NH);
    real *statistics = tile.scores + 2 * flash_tile(call);
    queries_take(&tile, block * tile.shape.rows);
    if (tile.is_small && head != *transposed)
        transpose(tile.kt, head_k(&tile.head, 0), call->k, call);
    *transposed = head;
    block_forward(&tile, statistics, statistics + tile.shape.rows);
}

Status KERNEL(flash_forward)(const Node *node, void *stream) {
    (void)stream;
    const AttentionAttrs *attrs = node->attrs;
    const AttentionCall *call = &attrs->call;
    AttentionArgs args = attention_forward_args(node);
    int64_t rows = flash_shape(call, false).rows, blocks = (call->Tq + rows - 1) / rows;
    bool has_many_heads = call->B * call->NH >= 4 * omp_get_max_threads();
    int64_t chunk = flash_is_small(call) && has_many_heads ? blocks : 1; /* one transpose a head */
#pragma omp parallel
    {
        int64_t transposed = -1;
#pragma omp for schedule(dynamic, chunk)
        for (int64_t index = 0; index < call->B * call->NH * blocks; index++)
            head_forward(call, &args, index / blocks, index % blocks, &transposed);
    }
    return OK;
}

/* Turns a row's scores into weights P with dropout's mask, and d, on entry dP = dout v^T, into dS =
 * P (dP - delta) scale, times the slope of the softcap. */
static void row_backward(const FlashTile *tile, int row, real delta, real *d) {
    const AttentionCall *call = tile->head.call;
    real *x = tile->scores + row * tile->shape.keys, *g = d + row * tile->shape.keys,
         scale = (real)call->scale;
    int64_t first, end;
    real slopes[FLASH_KEYS_MOST];
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
    tile_scores(tile);
    tile_product_of(tile, tile->out, tile->v, tile->vt, 1, d);
    for (int row = 0; row < tile->rows; row++) row_backward(tile, row, deltas[tile->q0 + row], d);
    Pairs weights = pairs_of(tile, tile->scores), gradients = pairs_of(tile, d);
    pairs_product(&weights, true, tile->out, true, rows_from(tile->dv, tile->k0));
    pairs_product(&gradients, false, tile->k, true, rows_from(tile->dq, tile->q0));
    pairs_product(&gradients, true, tile->q, true, rows_from(tile->dk, tile->k0));
}

/* One block of queries against all keys; d: a tile. */
static void block_backward(FlashTile *tile, const real *deltas, real *d) {
    const AttentionCall *call = tile->head.call;
    int64_t first, end;
    tile->out = rows_read(head_dout(&tile->head, tile->q0), call->out.token, tile->rows, call->HS,
                          tile->out.at);
    keys_visible(tile, &first, &end);
    for (int64_t k0 = first; k0 < end; k0 += tile->shape.keys) {
        keys_take(tile, k0, end);
        keys_read(tile);
        tile_backward(tile, deltas, d);
    }
}

static void head_backward(FlashTile *tile) {
    const AttentionCall *call = tile->head.call;
    real *d = tile->scores + flash_tile(call), *deltas = d + flash_tile(call);
    deltas += 2 * tile->shape.rows;
    stored *place = head_dq(&tile->head, 0);
    tile->dq = rows_of(place, call->q.token, call->HS, tile->dq.at);
    rows_clear(tile->dq, call->Tq, call->HS);
    for (int64_t i = 0; i < call->Tq; i++) deltas[i] = head_delta(&tile->head, i);
    for (int64_t q0 = 0; q0 < call->Tq; q0 += tile->shape.rows) {
        queries_take(tile, q0);
        block_backward(tile, deltas, d);
    }
    rows_write(tile->dq, place, call->q.token, call->Tq, call->HS);
}

/* The heads that share keys, so dk and dv have one writer. */
static void group_backward(const AttentionCall *call, const AttentionArgs *args, int64_t kv) {
    int64_t group = call->NH / call->NH_kv, HS = call->HS;
    FlashTile tile = tile_of(call, args, true, kv / call->NH_kv, kv % call->NH_kv * group);
    stored *dk = head_dk(&tile.head, 0), *dv = head_dv(&tile.head, 0);
    tile.dk = rows_of(dk, call->k.token, HS, tile.dk.at);
    tile.dv = rows_of(dv, call->v.token, HS, tile.dv.at);
    rows_clear(tile.dk, call->Tk, HS);
    rows_clear(tile.dv, call->Tk, HS);
    if (tile.is_small) {
        transpose(tile.kt, head_k(&tile.head, 0), call->k, call);
        transpose(tile.vt, head_v(&tile.head, 0), call->v, call);
    }
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
