#include "core/ops/gated.h"

#include "core/autodiff.h"

#include <string.h>

DECLARE_KERNELS(gated);
DECLARE_KERNELS(gated_backward);

const Op gated_backward_op = {
    .name = "gated_backward",
    .kernels = KERNELS(CPU_KERNEL(gated_backward),
                       CUDA_KERNEL(gated_backward, DTYPES_REAL, .speed = SPEED(3.0, 0, 1.0))),
};

static void gated_gradient(Program *p, const Node *node) {
    Tensor *pair = node->inputs[0], *dy = autodiff_gradient(p, node->outputs[0]);
    GradTarget dpair = autodiff_target(p, pair);
    if (dpair.grad == NULL) return;
    GatedAttrs attrs = *(const GatedAttrs *)node->attrs;
    attrs.accumulate = dpair.accumulate;
    program_record(p, (Recording){&gated_backward_op, &attrs, sizeof attrs, TENSORS(dy, pair),
                                  TENSORS(dpair.grad), NULL});
}

const Op gated_op = {
    .name = "gated",
    .gradient = gated_gradient,
    .kernels =
        KERNELS(CPU_KERNEL(gated), CUDA_KERNEL(gated, DTYPES_REAL, .speed = SPEED(3.0, 0, 1.0))),
};

Tensor *gated_record(Program *p, Tensor *pair, GatedKind kind) {
    if (program_failed(p) || pair == NULL) return NULL;
    if (tensor_columns(pair) % 2 != 0) {
        return program_fail(p, STATUS_CONFIG, "gated: the columns of %s are not gate and up",
                            tensor_text(pair));
    }
    int64_t shape[TENSOR_MAX_DIMS];
    memcpy(shape, pair->shape, sizeof shape);
    shape[pair->n_dims - 1] /= 2;
    Tensor *y = program_tensor(p, BUFFER_ACTIVATIONS, pair->dtype, pair->n_dims, shape);
    GatedAttrs attrs = {.kind = kind};
    program_record(p,
                   (Recording){&gated_op, &attrs, sizeof attrs, TENSORS(pair), TENSORS(y), NULL});
    return y;
}
