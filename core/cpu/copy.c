/* i32 is passed as float; a copy preserves all 32 bits. */
#include "core/convert.h"
#include "core/cpu/real.h"
#include "core/op.h"
#include "core/ops/flags.h"

DECLARE_KERNELS(copy);

/* Between dtypes. */
static void values_convert(const Tensor *x, stored *out, int64_t count, bool accumulate) {
    const void *from = tensor_data(x);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) {
        real value = (real)real_load(from, x->dtype, i);
        out[i] = store(accumulate ? load(out[i]) + value : value);
    }
}

Status KERNEL(copy)(const Node *node, void *stream) {
    (void)stream;
    const Tensor *from = node->inputs[0];
    stored *out = tensor_data(node->outputs[0]);
    int64_t count = tensor_count(node->outputs[0]);
    bool accumulate = ((const AccumulateAttrs *)node->attrs)->accumulate;
    if (from->dtype != node->outputs[0]->dtype) {
        values_convert(from, out, count, accumulate);
        return OK;
    }
    const stored *x = tensor_data(from);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++)
        out[i] = accumulate ? store(load(out[i]) + load(x[i])) : x[i];
    return OK;
}
