/* Products of a tile of weights with rows of v, k, q or dout, where a mask may hide some pairs. A
 * hidden pair has weight 0, but 0 times NaN is NaN, and hidden rows must not affect the result. If
 * a tile has hidden pairs and non-finite rows, visible pairs are added one at a time; otherwise
 * BLAS multiplies the whole tile. In a tile with hidden pairs, the check of the rows costs 1 /
 * (number of queries) of the product. */
#pragma once

#include "nn/attention/cpu/bias_cpu.h"
#include "nn/attention/cpu/tile_product.h"

/* The weights of queries [q0, q0 + rows) and keys [k0, k0 + keys); 0 for hidden pairs. */
typedef struct Pairs {
    const Head *head;
    int64_t q0, k0;
    int rows, keys;
    const real *weights;
    int row;       /* distance between the weights of successive queries */
    bool in_tiles; /* multiplied by tile_product, which HS must suit */
} Pairs;

/* Whether the mask may hide a pair; bounds never fall. */
static inline bool pairs_hide(const Pairs *p) {
    int64_t first, end, unused;
    if (p->head->call->bias != BIAS_NONE) return true;
    head_visible(p->head, p->q0 + p->rows - 1, &first, &unused);
    head_visible(p->head, p->q0, &unused, &end);
    return first > p->k0 || end < p->k0 + p->keys;
}

static inline bool rows_are_finite(const real *x, int64_t rows, int64_t count, int64_t stride) {
    real zero = 0; /* infinity times 0 is NaN as well */
    for (int64_t i = 0; i < rows; i++) {
#pragma omp simd reduction(+ : zero)
        for (int64_t j = 0; j < count; j++) zero += x[i * stride + j] * 0;
    }
    return zero == 0;
}

static inline void pair_add(real *out, real weight, const real *x, int64_t count) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) out[j] += weight * x[j];
}

/* pairs_product over all pairs, hidden or not. */
static inline void pairs_multiply(const Pairs *p, bool transposed, RowsView x, bool add,
                                  RowsView out) {
    int HS = (int)p->head->call->HS, rows = transposed ? p->keys : p->rows,
        depth = transposed ? p->rows : p->keys;
    if (p->in_tiles) {
        KERNEL(tile_product)
        (&(TileProduct){rows, HS, depth, p->weights, transposed ? 1 : p->row,
                        transposed ? p->row : 1, x.at, x.stride, out.at, out.stride, 1, add});
        return;
    }
    BLAS(gemm)
    (CblasRowMajor, transposed ? CblasTrans : CblasNoTrans, CblasNoTrans, rows, HS, depth, 1,
     p->weights, p->row, x.at, x.stride, add, out.at, out.stride);
}

/* out += weights x, where x has a row per key and out a row per query; transposed: out += weights^T
 * x, with x per query and out per key. Rows have HS elements. add: false sets out. */
static inline void pairs_product(const Pairs *p, bool transposed, RowsView x, bool add,
                                 RowsView out) {
    int HS = (int)p->head->call->HS, rows = transposed ? p->keys : p->rows,
        depth = transposed ? p->rows : p->keys;
    if (!pairs_hide(p) || rows_are_finite(x.at, depth, HS, x.stride)) {
        pairs_multiply(p, transposed, x, add, out);
        return;
    }
    if (!add) rows_clear(out, rows, HS);
    for (int i = 0; i < p->rows; i++) {
        int64_t first, end;
        head_columns(p->head, p->q0 + i, p->k0, p->keys, &first, &end);
        for (int64_t j = first; j < end; j++) {
            int64_t to = transposed ? j : i, from = transposed ? i : j;
            if (head_hides(p->head, p->q0 + i, p->k0 + j)) continue;
            pair_add(row_of(out, to), p->weights[i * (int64_t)p->row + j], row_of(x, from), HS);
        }
    }
}
