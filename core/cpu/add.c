#include "core/cpu/real.h"
#include "core/op.h"

DECLARE_KERNELS(add);

Status KERNEL(add)(const Node *node, void *stream) {
    (void)stream;
    const stored *a = tensor_data(node->inputs[0]), *b = tensor_data(node->inputs[1]);
    stored *y = tensor_data(node->outputs[0]);
    int64_t count = tensor_count(node->outputs[0]);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) y[i] = store(load(a[i]) + load(b[i]));
    return OK;
}
