#include "core/ops/relu2.h"

#include "core/autodiff.h"

DECLARE_KERNELS(relu2);
DECLARE_KERNELS(relu2_backward);

static void relu2_gradient(Program *p, const Node *node) {
    Tensor *y = node->outputs[0], *d = autodiff_exclusive(p, y);
    program_record(p, (Recording){&relu2_backward_op, NULL, 0, TENSORS(y), TENSORS(d), NULL});
    autodiff_share(p, node->inputs[0], d);
}

const Op relu2_op = {
    .name = "relu2",
    .gradient = relu2_gradient,
    .kernels =
        KERNELS(CPU_KERNEL(relu2), CUDA_KERNEL(relu2, DTYPES_REAL, .speed = SPEED(3.0, 0, 1.0))),
};

/* d is read and written. */
static Cost backward_cost(const Node *node) {
    return (Cost){.bytes = (double)tensor_bytes(node->inputs[0]) +
                           2 * (double)tensor_bytes(node->outputs[0])};
}

const Op relu2_backward_op = {
    .name = "relu2_backward",
    .cost = backward_cost,
    .kernels = KERNELS(CPU_KERNEL(relu2_backward),
                       CUDA_KERNEL(relu2_backward, DTYPES_REAL, .speed = SPEED(3.0, 0, 1.0))),
};

Tensor *relu2_record(Program *p, Tensor *x) {
    if (program_failed(p) || x == NULL) return NULL;
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, x);
    program_record(p, (Recording){&relu2_op, NULL, 0, TENSORS(x), TENSORS(y), NULL});
    return y;
}
