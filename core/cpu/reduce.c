#include "core/ops/reduce.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(sum);
DECLARE_KERNELS(norm);

enum { PARTS = 64 };

/* sum(x), or sum(x^2): each part by itself, then the parts in order. */
static double parts_sum(const real *x, int64_t count, bool squares) {
    double sums[PARTS];
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < PARTS; part++) {
        int64_t first, end;
        range_part(count, PARTS, part, &first, &end);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = first; i < end; i++) sum += squares ? (double)x[i] * (double)x[i] : (double)x[i];
        sums[part] = sum;
    }
    double sum = 0;
    for (int64_t part = 0; part < PARTS; part++) sum += sums[part];
    return sum;
}

Status KERNEL(sum)(const Node *node, void *stream) {
    (void)stream;
    const ReduceAttrs *attrs = node->attrs;
    real *out = tensor_data(node->outputs[0]);
    double sum = attrs->scale * parts_sum(tensor_data(node->inputs[0]), tensor_count(node->inputs[0]), false);
    *out = (real)(attrs->accumulate ? (double)*out + sum : sum);
    return OK;
}

Status KERNEL(norm)(const Node *node, void *stream) {
    (void)stream;
    real *out = tensor_data(node->outputs[0]);
    *out = (real)sqrt(parts_sum(tensor_data(node->inputs[0]), tensor_count(node->inputs[0]), true));
    return OK;
}
