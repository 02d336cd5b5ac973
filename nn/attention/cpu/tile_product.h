/* Products of small tiles: a few rows of the result in registers, no copy of the operands. BLAS
 * packs both operands first, which costs most where rows are short: at 64 x 128 x 32 this takes
 * half of its time with AVX-512, and as long or less with AVX2 (docs/results/cpu.md). */
#pragma once

#include "core/cpu/real.h"
#include "nn/attention/cpu/tile_lanes.h"

#include <stdbool.h>

/* c = alpha a b, or c += alpha a b; c is (rows, columns), the sums run over `depth`. Element (i, k)
 * of a is a[i * a_row + k * a_step], so either operand order of a serves; rows of b and c are
 * contiguous. `columns` is a multiple of TILE_VECTOR bytes. */
typedef struct TileProduct {
    int rows, columns, depth;
    const real *a;
    int64_t a_row, a_step;
    const real *b;
    int64_t b_row;
    real *c;
    int64_t c_row;
    real alpha;
    bool add;
} TileProduct;

void KERNEL(tile_product)(const TileProduct *p);
