#include "core/cpu/real.h"
#include "core/op.h"

DECLARE_KERNELS(relu2);
DECLARE_KERNELS(relu2_backward);

/* A NaN stays NaN. */
Status KERNEL(relu2)(const Node *node, void *stream) {
    (void)stream;
    const stored *x = tensor_data(node->inputs[0]);
    stored *y = tensor_data(node->outputs[0]);
    int64_t count = tensor_count(node->outputs[0]);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) {
        real value = load(x[i]), positive = value < 0 ? 0 : value;
        y[i] = store(positive * positive);
    }
    return OK;
}

Status KERNEL(relu2_backward)(const Node *node, void *stream) {
    (void)stream;
    const stored *y = tensor_data(node->inputs[0]);
    stored *d = tensor_data(node->outputs[0]);
    int64_t count = tensor_count(node->outputs[0]);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) d[i] = store(load(d[i]) * (2 * real_sqrt(load(y[i]))));
    return OK;
}
