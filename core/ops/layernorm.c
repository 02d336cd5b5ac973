#include "core/ops/layernorm.h"

#include "core/autodiff.h"

DECLARE_KERNELS(layernorm);
DECLARE_KERNELS(layernorm_backward);

/* Partial sums of dgamma and dbeta, one line per part of the rows. */
static size_t parts_cpu(const Node *node, const Target *target) {
    (void)target;
    return 2 * LAYERNORM_PARTS * (size_t)tensor_columns(node->inputs[0]) * dtype_size(node->dtype);
}

static size_t parts_cuda(const Node *node, const Target *target) {
    (void)target;
    return 2 * LAYERNORM_BLOCKS * (size_t)tensor_columns(node->inputs[0]) * sizeof(float);
}

const Op layernorm_backward_op = {
    .name = "layernorm_backward",
    .kernels = KERNELS(CPU_KERNEL(layernorm_backward, .workspace = parts_cpu),
                       CUDA_KERNEL(layernorm_backward, DTYPES_REAL, .workspace = parts_cuda,
                                   .speed = {[PRECISION_HALF] = {10.0, 0, 0.69},
                                             [PRECISION_TF32] = {10.0, 0, 0.50},
                                             [PRECISION_SINGLE] = {10.0, 0, 0.50}})),
};

/* The gradient of the residual is already in the slot of the sum: the kernel adds to it, and x and
 * branch share the result. */
static void layernorm_gradient(Program *p, const Node *node) {
    Tensor *x = node->inputs[0], *branch = node->inputs[1], *gamma = node->inputs[2],
           *beta = node->inputs[3];
    Tensor *y = node->outputs[0], *sum = node->outputs[1], *mean = node->outputs[2],
           *rstd = node->outputs[3];
    LayernormAttrs attrs = *(const LayernormAttrs *)node->attrs;
    Tensor *dy = autodiff_gradient(p, y);
    if (dy == NULL) {
        autodiff_share(p, x, autodiff_gradient(p, sum));
        autodiff_share(p, branch, autodiff_gradient(p, sum));
        return;
    }
    GradTarget dx = autodiff_target(p, sum == NULL ? x : sum);
    GradTarget dgamma = autodiff_target(p, gamma), dbeta = autodiff_target(p, beta);
    attrs.accumulate = dx.accumulate;
    attrs.accumulate_gamma = dgamma.accumulate;
    attrs.accumulate_beta = dbeta.accumulate;
    program_record(p, (Recording){&layernorm_backward_op, &attrs, sizeof attrs,
                                  TENSORS(dy, sum == NULL ? x : sum, gamma, mean, rstd),
                                  TENSORS(dx.grad, dgamma.grad, dbeta.grad), NULL});
    if (sum == NULL) return;
    autodiff_share(p, x, dx.grad);
    autodiff_share(p, branch, dx.grad);
}

const Op layernorm_op = {
    .name = "layernorm",
    .gradient = layernorm_gradient,
    .kernels = KERNELS(CPU_KERNEL(layernorm),
                       CUDA_KERNEL(layernorm, DTYPES_REAL, .speed = SPEED(2.3, 0, 0.94))),
};

Tensor *layernorm_record(Program *p, Tensor *x, Tensor *branch, Tensor *gamma, Tensor *beta,
                         Tensor **sum) {
    if (program_failed(p) || x == NULL || gamma == NULL) return NULL;
    if (tensor_columns(x) != tensor_count(gamma) ||
        (branch != NULL && !tensor_same_shape(x, branch))) {
        return program_fail(p, STATUS_CONFIG, "layernorm: input %s does not fit gamma %s",
                            tensor_text(x), tensor_text(gamma));
    }
    DType stat = x->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    int64_t rows[] = {tensor_rows(x)};
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, x);
    *sum = branch == NULL ? x : program_tensor_like(p, BUFFER_ACTIVATIONS, x);
    Tensor *mean = program_tensor(p, BUFFER_ACTIVATIONS, stat, 1, rows);
    Tensor *rstd = program_tensor(p, BUFFER_ACTIVATIONS, stat, 1, rows);
    LayernormAttrs attrs = {.eps = 1e-5};
    program_record(p,
                   (Recording){&layernorm_op, &attrs, sizeof attrs, TENSORS(x, branch, gamma, beta),
                               TENSORS(y, branch == NULL ? NULL : *sum, mean, rstd), NULL});
    return y;
}
