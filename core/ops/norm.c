#include "core/ops/norm.h"

#include "core/autodiff.h"

DECLARE_KERNELS(norm);
DECLARE_KERNELS(norm_backward);

/* Columns of partial sums per part of the rows: those of dgamma, then those of dbeta. */
static size_t parts_columns(const Node *node) {
    const NormAttrs *attrs = node->attrs;
    size_t lines = node->inputs[2] == NULL ? 0 : attrs->options.kind == NORM_LAYER ? 2 : 1;
    return lines * (size_t)tensor_columns(node->inputs[0]);
}

static size_t parts_cpu(const Node *node, const Target *target) {
    (void)target;
    return NORM_PARTS * parts_columns(node) * dtype_size(dtype_wide(node->dtype));
}

static size_t parts_cuda(const Node *node, const Target *target) {
    (void)target;
    return NORM_BLOCKS * parts_columns(node) * sizeof(float);
}

/* Partial sums for gamma take time. */
static bool has_no_gamma(const Node *node) { return node->inputs[2] == NULL; }

static const Kernel *const backward_kernels[] = {
    CPU_KERNEL(norm_backward, .workspace = parts_cpu),
    CUDA_KERNEL(norm_backward, DTYPES_REAL, .workspace = parts_cuda,
                .speed = {[PRECISION_HALF] = {10.0, 0, 0.69},
                          [PRECISION_TF32] = {10.0, 0, 0.50},
                          [PRECISION_SINGLE] = {10.0, 0, 0.50}},
                .is_simple = has_no_gamma, .simple_speed = SPEED(10.0, 0, 0.84)),
    NULL,
};

const Op layernorm_backward_op = {.name = "layernorm_backward", .kernels = backward_kernels};
const Op rmsnorm_backward_op = {.name = "rmsnorm_backward", .kernels = backward_kernels};

/* The gradient of the residual is already in the slot of the sum: the kernel adds to it, and x and
 * branch share the result. */
static void norm_gradient(Program *p, const Node *node) {
    Tensor *x = node->inputs[0], *branch = node->inputs[1], *gamma = node->inputs[2],
           *beta = node->inputs[3];
    Tensor *y = node->outputs[0], *sum = node->outputs[1], *mean = node->outputs[2],
           *rstd = node->outputs[3];
    NormAttrs attrs = *(const NormAttrs *)node->attrs;
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
    const Op *op = attrs.options.kind == NORM_RMS ? &rmsnorm_backward_op : &layernorm_backward_op;
    program_record(p, (Recording){op, &attrs, sizeof attrs,
                                  TENSORS(dy, sum == NULL ? x : sum, gamma, mean, rstd),
                                  TENSORS(dx.grad, dgamma.grad, dbeta.grad), NULL});
    if (sum == NULL) return;
    autodiff_share(p, x, dx.grad);
    autodiff_share(p, branch, dx.grad);
}

/* Eight bits take time: the transposed tile waits for all rows of a block. */
static bool writes_y(const Node *node) { return node->inputs[NORM_SCALE] == NULL; }

/* The speed with eight bits: 0.76 was measured at (65536, 768), one norm of 25 without. */
static const Kernel *const forward_kernels[] = {
    CPU_KERNEL(norm),
    CUDA_KERNEL(norm, DTYPES_REAL, .speed = SPEED(3.0, 0, 0.74), .is_simple = writes_y,
                .simple_speed = SPEED(2.3, 0, 0.94)),
    NULL,
};

const Op layernorm_op = {
    .name = "layernorm", .gradient = norm_gradient, .kernels = forward_kernels};
const Op rmsnorm_op = {.name = "rmsnorm", .gradient = norm_gradient, .kernels = forward_kernels};

static bool fits(const Tensor *x, const Tensor *branch, const Tensor *gamma) {
    return (gamma == NULL || tensor_columns(x) == tensor_count(gamma)) &&
           (branch == NULL || tensor_same_shape(x, branch));
}

Tensor *norm_record(Program *p, Tensor *x, Tensor *branch, Tensor *gamma, Tensor *beta,
                    NormOptions options, Tensor **sum) {
    if (program_failed(p) || x == NULL) return NULL;
    const Op *op = options.kind == NORM_RMS ? &rmsnorm_op : &layernorm_op;
    if (!fits(x, branch, gamma)) {
        return program_fail(p, STATUS_CONFIG, "%s: input %s does not fit %s %s", op->name,
                            tensor_text(x), fits(x, branch, NULL) ? "gamma" : "branch",
                            tensor_text(fits(x, branch, NULL) ? gamma : branch));
    }
    if (beta != NULL && (gamma == NULL || options.kind == NORM_RMS))
        return program_fail(p, STATUS_CONFIG, "%s: beta needs layernorm with gamma", op->name);
    DType stat = dtype_wide(x->dtype);
    int64_t rows[] = {tensor_rows(x)};
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, x);
    *sum = branch == NULL ? x : program_tensor_like(p, BUFFER_ACTIVATIONS, x);
    Tensor *mean =
        options.kind == NORM_RMS ? NULL : program_tensor(p, BUFFER_ACTIVATIONS, stat, 1, rows);
    Tensor *rstd = program_tensor(p, BUFFER_ACTIVATIONS, stat, 1, rows);
    NormAttrs attrs = {.options = options};
    Tensor *inputs[] = {x, branch, gamma, beta, [NORM_SCALE] = NULL};
    Tensor *outputs[NORM_OUTPUTS] = {y, branch == NULL ? NULL : *sum, mean, rstd};
    program_record(p, (Recording){op, &attrs, sizeof attrs, inputs, NORM_SCALE + 1, outputs,
                                  NORM_OUTPUTS, NULL});
    return y;
}
