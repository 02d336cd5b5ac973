#include "core/ops/reduce.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(sum);
DECLARE_KERNELS(squares);
DECLARE_KERNELS(l2_norm);

enum { PARTS = 64 };

/* sum(x): sums each part separately, then the parts in order. */
Status KERNEL(sum)(const Node *node, void *stream) {
    (void)stream;
    const ReduceAttrs *attrs = node->attrs;
    const real *x = tensor_data(node->inputs[0]);
    real *out = tensor_data(node->outputs[0]);
    int64_t count = tensor_count(node->inputs[0]);
    double sums[PARTS], sum = 0;
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < PARTS; part++) {
        int64_t first, end;
        range_part(count, PARTS, part, &first, &end);
        double part_sum = 0;
#pragma omp simd reduction(+ : part_sum)
        for (int64_t i = first; i < end; i++) part_sum += (double)x[i];
        sums[part] = part_sum;
    }
    for (int64_t part = 0; part < PARTS; part++) sum += sums[part];
    sum *= attrs->scale;
    *out = (real)(attrs->accumulate ? (double)*out + sum : sum);
    return OK;
}

static double part_squares(const real *x, ElementRange range, int64_t parts, int64_t part) {
    int64_t first, end;
    range_part(range.count, parts, part, &first, &end);
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = range.first + first; i < range.first + end; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

Status KERNEL(squares)(const Node *node, void *stream) {
    (void)stream;
    const SquaresAttrs *attrs = node->attrs;
    const real *x = tensor_data(node->inputs[0]);
    double *out = tensor_data(node->outputs[0]);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < attrs->n_ranges * attrs->parts; i++) {
        int64_t part = i % attrs->parts, place = part - attrs->own.first;
        bool is_own = place >= 0 && place < attrs->own.count;
        out[i] = is_own ? part_squares(x, attrs->ranges[i / attrs->parts], attrs->parts, part) : 0;
    }
    return OK;
}

Status KERNEL(l2_norm)(const Node *node, void *stream) {
    (void)stream;
    const double *squares = tensor_data(node->inputs[0]);
    real *out = tensor_data(node->outputs[0]);
    int64_t count = tensor_count(node->inputs[0]) / (int64_t)sizeof(double);
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += squares[i];
    *out = (real)sqrt(sum);
    return OK;
}
