#include "core/ops/mix.h"

#include "core/autodiff.h"

DECLARE_KERNELS(mix);
DECLARE_KERNELS(mix_backward);

static size_t parts_cpu(const Node *node, const Target *target) {
    (void)node, (void)target;
    return 2 * MIX_PARTS * sizeof(double);
}

static size_t parts_cuda(const Node *node, const Target *target) {
    (void)node, (void)target;
    return 2 * MIX_BLOCKS * sizeof(float);
}

const Op mix_backward_op = {
    .name = "mix_backward",
    .kernels = KERNELS(CPU_KERNEL(mix_backward, .workspace = parts_cpu),
                       CUDA_KERNEL(mix_backward, DTYPES_REAL, .workspace = parts_cuda,
                                   .speed = SPEED(6, 0, 0.76))),
};

static void mix_gradient(Program *p, const Node *node) {
    Tensor *x = node->inputs[0], *x0 = node->inputs[1], *s = node->inputs[2];
    Tensor *dy = autodiff_gradient(p, node->outputs[0]);
    GradTarget dx = autodiff_target(p, x);
    GradTarget dx0 = x0 == x ? (GradTarget){0} : autodiff_target(p, x0);
    GradTarget ds = autodiff_target(p, s);
    MixAttrs attrs = {dx.accumulate, dx0.accumulate, ds.accumulate};
    program_record(p, (Recording){&mix_backward_op, &attrs, sizeof attrs, TENSORS(dy, x, x0, s),
                                  TENSORS(dx.grad, dx0.grad, ds.grad), NULL});
}

const Op mix_op = {
    .name = "mix",
    .gradient = mix_gradient,
    .kernels = KERNELS(CPU_KERNEL(mix), CUDA_KERNEL(mix, DTYPES_REAL, .speed = SPEED(3.0, 0, 1.0))),
};

Tensor *mix_record(Program *p, Tensor *x, Tensor *x0, Tensor *s) {
    if (program_failed(p) || x == NULL || x0 == NULL || s == NULL) return NULL;
    if (!tensor_same_shape(x, x0) || tensor_count(s) != 2 || s->dtype != x->dtype) {
        return program_fail(p, STATUS_CONFIG, "mix: %s, %s and scalars %s do not fit together",
                            tensor_text(x), tensor_text(x0), tensor_text(s));
    }
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, x);
    program_record(p, (Recording){&mix_op, NULL, 0, TENSORS(x, x0, s), TENSORS(y), NULL});
    return y;
}
