#include "tests/core/op_edges_heads_helper.h"

#include "core/ops/qk.h"
#include "core/ops/rope.h"
#include "tests/core/edge_helper.h"

/* All elements of the heads are `size`, except for one of them. */
typedef struct HeadRow {
    double size, one;
    bool is_wide; /* squares overflow f32 */
} HeadRow;

static const HeadRow rows[] = {{0, 0, false},       {1, 1, false},        {6e4, 6e4, false},
                               {1e15, 1e15, false}, {1e25, 1e25, true},   {3e38, 3e38, true},
                               {1, NAN, false},     {1, INFINITY, false}, {0, -INFINITY, false}};

enum { ROWS = COUNT(rows), HEADS = 4, ODD = 5 };

static double head_value(const HeadRow *row, int64_t j, DType dtype) {
    double value = j == ODD ? row->one : row->size;
    return dtype == DTYPE_F16 && fabs(value) > 6e4 && isfinite(value) ? 6e4 : value;
}

/* Of a normalized head: its elements, or NaN. */
static void row_check(const double *head, int64_t row, int64_t HS, DType dtype) {
    bool overflows = rows[row].is_wide && (dtype == DTYPE_F32 || dtype == DTYPE_BF16);
    bool is_nan = overflows || !isfinite(rows[row].one);
    double wanted = rows[row].size == 0 ? 0 : 1;
    for (int64_t j = 0; j < HS; j++) {
        bool good =
            is_nan ? isnan(head[j]) : fabs(head[j] - wanted) <= (edge_is_half(dtype) ? 1e-2 : 1e-5);
        if (!good) edge_check(false, "qk", dtype, row, head[j]);
        if (!good) return;
    }
}

/* The table rotates by 0, so that a normalized head shows. */
static void qk_of(Device *device, DType dtype, int64_t HS) {
    int64_t columns = HEADS * HS;
    QkOptions options = {2, 1, HS, true, 1e-6};
    RopeFrequencies still = {.pairs = (int)HS / 2, .magnitude = 1};
    Edge e;
    if (!edge_begin(&e, device, dtype)) return;
    Tensor *qkv = edge_tensor(&e, e.tested, SHAPE(ROWS, columns));
    Tensor *table = rope_table_record(e.program, &still, NULL, ROWS, edge_wide(dtype));
    Tensor *y = qk_record(e.program, qkv, table, NULL, NULL, &options);
    if (edge_ready(&e)) {
        double *values = malloc((size_t)(ROWS * columns) * sizeof *values);
        for (int64_t i = 0; i < ROWS * columns; i++)
            values[i] = head_value(&rows[i / columns], i % HS, dtype);
        edge_write(&e, qkv, values);
        double *found = edge_run(&e, y);
        for (int64_t row = 0; row < ROWS; row++) {
            for (int64_t head = 0; head < 3; head++)
                row_check(found + row * columns + head * HS, row, HS, dtype);
            for (int64_t i = row * columns + 3 * HS; i < (row + 1) * columns; i++) {
                double v = edge_rounded(values[i], dtype);
                edge_check(isnan(v) ? isnan(found[i]) : found[i] == v, "v", dtype, row, found[i]);
            }
        }
        free(values);
        free(found);
    }
    edge_end(&e);
}

void edges_of_qk(Device *device, DType dtype) {
    qk_of(device, dtype, 64);
    qk_of(device, dtype, 80);
    qk_of(device, dtype, 256);
    qk_of(device, dtype, 30);
}
