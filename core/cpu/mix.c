#include "core/ops/mix.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(mix);
DECLARE_KERNELS(mix_backward);

Status KERNEL(mix)(const Node *node, void *stream) {
    (void)stream;
    const stored *x = tensor_data(node->inputs[0]), *x0 = tensor_data(node->inputs[1]);
    const stored *s = tensor_data(node->inputs[2]);
    real s0 = load(s[0]), s1 = load(s[1]);
    stored *y = tensor_data(node->outputs[0]);
    int64_t count = tensor_count(node->outputs[0]);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) y[i] = store(s0 * load(x[i]) + s1 * load(x0[i]));
    return OK;
}

/* d = factor * dy, or d += that. */
static void scaled(const Tensor *out, const stored *dy, real factor, bool accumulate) {
    if (out == NULL) return;
    stored *d = tensor_data(out);
    int64_t count = tensor_count(out);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) {
        real g = load(dy[i]);
        d[i] = store(accumulate ? load(d[i]) + factor * g : factor * g);
    }
}

static double part_product(const stored *a, const stored *b, int64_t count, int64_t part) {
    int64_t first, end;
    range_part(count, MIX_PARTS, part, &first, &end);
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = first; i < end; i++) sum += (double)load(a[i]) * (double)load(b[i]);
    return sum;
}

Status KERNEL(mix_backward)(const Node *node, void *stream) {
    (void)stream;
    const MixAttrs *attrs = node->attrs;
    const stored *dy = tensor_data(node->inputs[0]), *s = tensor_data(node->inputs[3]);
    real s0 = load(s[0]), s1 = load(s[1]);
    const stored *factors[] = {tensor_data(node->inputs[1]), tensor_data(node->inputs[2])};
    int64_t count = tensor_count(node->inputs[0]);
    bool is_same = node->inputs[1] == node->inputs[2];
    scaled(node->outputs[0], dy, is_same ? s0 + s1 : s0, attrs->accumulate);
    scaled(node->outputs[1], dy, s1, attrs->accumulate_x0);
    if (node->outputs[2] == NULL) return OK;
    real *ds = tensor_data(node->outputs[2]);
    double *parts = tensor_data(node->workspace);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < 2 * MIX_PARTS; i++)
        parts[i] = part_product(dy, factors[i / MIX_PARTS], count, i % MIX_PARTS);
    for (int k = 0; k < 2; k++) {
        double sum = attrs->accumulate_s ? (double)ds[k] : 0;
        for (int64_t i = 0; i < MIX_PARTS; i++) sum += parts[k * MIX_PARTS + i];
        ds[k] = (real)sum;
    }
    return OK;
}
