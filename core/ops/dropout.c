#include "core/ops/dropout.h"

#include "core/autodiff.h"

DECLARE_KERNELS(dropout);

static void dropout_gradient(Program *p, const Node *node) {
    Tensor *dy = autodiff_gradient(p, node->outputs[0]);
    GradTarget dx = autodiff_target(p, node->inputs[0]);
    if (dx.grad == NULL) return;
    DropoutAttrs attrs = *(const DropoutAttrs *)node->attrs;
    attrs.accumulate = dx.accumulate;
    autodiff_done(
        program_record(p, (Recording){&dropout_op, &attrs, sizeof attrs,
                                      TENSORS(dy, node->inputs[1]), TENSORS(dx.grad), NULL}));
}

const Op dropout_op = {
    .name = "dropout",
    .gradient = dropout_gradient,
    .kernels =
        KERNELS(CPU_KERNEL(dropout), CUDA_KERNEL(dropout, DTYPES_REAL, .speed = MEMORY_SPEED)),
};

Tensor *dropout_record(Program *p, Tensor *x, double probability, Tensor *step) {
    if (program_failed(p) || x == NULL || !p->training || probability <= 0) return x;
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, x);
    DropoutAttrs attrs = {.probability = probability, .stream = program_stream(p)};
    program_record(
        p, (Recording){&dropout_op, &attrs, sizeof attrs, TENSORS(x, step), TENSORS(y), NULL});
    return y;
}
