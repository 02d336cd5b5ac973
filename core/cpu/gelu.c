#include "core/cpu/gelu.h"

#include "core/op.h"

DECLARE_KERNELS(gelu);
DECLARE_KERNELS(gelu_backward);

Status KERNEL(gelu)(const Node *node, void *stream) {
    (void)stream;
    const stored *x = tensor_data(node->inputs[0]);
    stored *y = tensor_data(node->outputs[0]);
    int64_t count = tensor_count(node->outputs[0]);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) y[i] = store(gelu_value(load(x[i])));
    return OK;
}

Status KERNEL(gelu_backward)(const Node *node, void *stream) {
    (void)stream;
    const stored *pre = tensor_data(node->inputs[0]);
    stored *d = tensor_data(node->outputs[0]);
    int64_t count = tensor_count(node->outputs[0]);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) d[i] = store(load(d[i]) * gelu_derivative(load(pre[i])));
    return OK;
}
