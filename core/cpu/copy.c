/* i32 is passed as float; a copy preserves all 32 bits. */
#include "core/cpu/real.h"
#include "core/op.h"
#include "core/ops/flags.h"

DECLARE_KERNELS(copy);

Status KERNEL(copy)(const Node *node, void *stream) {
    (void)stream;
    const AccumulateAttrs *attrs = node->attrs;
    const real *x = tensor_data(node->inputs[0]);
    real *out = tensor_data(node->outputs[0]);
    int64_t count = tensor_count(node->outputs[0]);
    bool accumulate = attrs->accumulate;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) out[i] = accumulate ? out[i] + x[i] : x[i];
    return OK;
}
