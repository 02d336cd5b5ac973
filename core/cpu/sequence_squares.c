/* One thread per sequence, then one per chunk of columns. */
#include "core/ops/sequence_squares.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(sequence_squares);

typedef struct Rows {
    const stored *dy, *x;
    const real *means, *rstds; /* means: may be NULL */
    int64_t C;
} Rows;

/* Adds rows [first, end) to `dgamma` and `dbeta`, which may be NULL. */
static void rows_add(const Rows *r, int64_t first, int64_t end, real *dgamma, real *dbeta) {
    for (int64_t row = first; row < end; row++) {
        const stored *dy = r->dy + row * r->C, *x = r->x + row * r->C;
        real mean = r->means == NULL ? 0 : r->means[row], rstd = r->rstds[row];
#pragma omp simd
        for (int64_t j = 0; j < r->C; j++) dgamma[j] += load(dy[j]) * (load(x[j]) - mean) * rstd;
        if (dbeta == NULL) continue;
#pragma omp simd
        for (int64_t j = 0; j < r->C; j++) dbeta[j] += load(dy[j]);
    }
}

/* The sums over columns [first, end) of a line; the sequences' sums are `stride` elements apart. */
static void chunk_sum(const real *sums, int64_t stride, int64_t sequences, int64_t first,
                      int64_t end, double *units, double *whole) {
    *units = *whole = 0;
    for (int64_t j = first; j < end; j++) {
        double sum = 0;
        for (int64_t b = 0; b < sequences; b++) {
            double c = (double)sums[b * stride + j];
            *units += c * c;
            sum += c;
        }
        *whole += sum * sum;
    }
}

Status KERNEL(sequence_squares)(const Node *node, void *stream) {
    (void)stream;
    const SequenceSquaresAttrs *attrs = node->attrs;
    const Tensor *dy = node->inputs[0], *mean = node->inputs[2];
    int64_t B = attrs->sequences, C = tensor_columns(dy), rows = tensor_rows(dy) / B,
            lines = attrs->beta ? 2 : 1, stride = lines * C,
            per_line = sequence_squares_chunks(C, false);
    Rows r = {tensor_data(dy), tensor_data(node->inputs[1]),
              mean == NULL ? NULL : tensor_data(mean), tensor_data(node->inputs[3]), C};
    real *sums = tensor_data(node->workspace);
    double *units = tensor_data(node->outputs[0]), *whole = tensor_data(node->outputs[1]);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < B; b++) {
        real *dgamma = sums + b * stride;
        memset(dgamma, 0, (size_t)stride * sizeof *dgamma);
        rows_add(&r, b * rows, (b + 1) * rows, dgamma, attrs->beta ? dgamma + C : NULL);
    }
#pragma omp parallel for schedule(static)
    for (int64_t k = 0; k < lines * per_line; k++) {
        int64_t first = k % per_line * SEQUENCE_SQUARES_COLUMNS,
                end = first + SEQUENCE_SQUARES_COLUMNS;
        chunk_sum(sums + k / per_line * C, stride, B, first, end < C ? end : C, &units[k],
                  &whole[k]);
    }
    return OK;
}
