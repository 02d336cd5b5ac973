#include "nn/attention/cpu/tile_product.h"

enum { LANES = TILE_VECTOR / sizeof(real) };

typedef real Lanes __attribute__((vector_size(TILE_VECTOR)));
typedef real LanesAt __attribute__((vector_size(TILE_VECTOR), aligned(sizeof(real)), may_alias));

static inline Lanes lanes_load(const real *x) { return *(const LanesAt *)x; }
static inline void lanes_store(real *x, Lanes value) { *(LanesAt *)x = value; }

/* `rows` x `vectors` sums, which stay in registers because both are constants at every call. */
static inline __attribute__((always_inline)) void block(const TileProduct *p, int row, int column,
                                                        const int rows, const int vectors) {
    const real *a = p->a + row * p->a_row, *b = p->b + column;
    real *c = p->c + row * p->c_row + column;
    Lanes sums[TILE_ROWS][2];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) sums[i][0] = sums[i][1] = (Lanes){0};
    for (int64_t k = 0; k < p->depth; k++) {
        Lanes first = lanes_load(b + k * p->b_row),
              second = vectors == 2 ? lanes_load(b + k * p->b_row + LANES) : first;
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            real x = a[i * p->a_row + k * p->a_step];
            sums[i][0] += x * first;
            if (vectors == 2) sums[i][1] += x * second;
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            real *at = c + i * p->c_row + v * LANES;
            lanes_store(at, (p->add ? lanes_load(at) : (Lanes){0}) + p->alpha * sums[i][v]);
        }
}

static inline __attribute__((always_inline)) void panel(const TileProduct *p, int column,
                                                        const int vectors) {
    int row = 0;
    for (; row + TILE_ROWS <= p->rows; row += TILE_ROWS) block(p, row, column, TILE_ROWS, vectors);
    for (; row + 2 <= p->rows; row += 2) block(p, row, column, 2, vectors);
    if (row < p->rows) block(p, row, column, 1, vectors);
}

void KERNEL(tile_product)(const TileProduct *p) {
    int column = 0;
    for (; column + 2 * LANES <= p->columns; column += 2 * LANES) panel(p, column, 2);
    if (column < p->columns) panel(p, column, 1);
}
