#include "core/ops/add.h"

#include "core/autodiff.h"

DECLARE_KERNELS(add);

static void add_gradient(Program *p, const Node *node) {
    Tensor *dy = autodiff_gradient(p, node->outputs[0]);
    autodiff_share(p, node->inputs[0], dy);
    autodiff_share(p, node->inputs[1], dy);
}

const Op add_op = {
    .name = "add",
    .gradient = add_gradient,
    .kernels = KERNELS(CPU_KERNEL(add), CUDA_KERNEL(add, DTYPES_REAL, .speed = SPEED(3.0, 0, 1.0))),
};

Tensor *add_record(Program *p, Tensor *a, Tensor *b) {
    if (program_failed(p) || a == NULL || b == NULL) return NULL;
    if (!tensor_same_shape(a, b)) {
        return program_fail(p, STATUS_CONFIG, "add: %s and %s differ in shape", tensor_text(a),
                            tensor_text(b));
    }
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, a);
    program_record(p, (Recording){&add_op, NULL, 0, TENSORS(a, b), TENSORS(y), NULL});
    return y;
}
