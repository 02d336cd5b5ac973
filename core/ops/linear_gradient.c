#include "core/ops/linear_gradient.h"

#include "core/autodiff.h"
#include "core/ops/linear_product.h"

DECLARE_KERNELS(linear_dx);
DECLARE_KERNELS(linear_dw);

static Cost product_cost(const Tensor *a, const Tensor *b, const Tensor *out, int64_t depth) {
    return (Cost){.flops = 2.0 * (double)tensor_count(out) * (double)depth,
                  .bytes = (double)(tensor_bytes(a) + tensor_bytes(b) + tensor_bytes(out))};
}

static Cost linear_dx_cost(const Node *node) {
    return product_cost(node->inputs[0], node->inputs[1], node->outputs[0],
                        tensor_columns(node->inputs[0]));
}

static Cost linear_dw_cost(const Node *node) {
    return product_cost(node->inputs[0], node->inputs[1], node->outputs[0],
                        tensor_rows(node->inputs[0]));
}

static size_t dx_cpu(const Node *node, const Target *target) {
    const LinearAttrs *attrs = node->attrs;
    return linear_scratch(node, target, linear_dx_shape(node, attrs->accumulate));
}

static bool has_no_gelu(const Node *node) { return node->inputs[2] == NULL; }

const Op linear_dx_op = {
    .name = "linear_dx",
    .cost = linear_dx_cost,
    .kernels = KERNELS(CPU_KERNEL(linear_dx, .refuses = linear_refuses_cpu, .workspace = dx_cpu),
                       CUDA_KERNEL(linear_dx, DTYPES_REAL,
                                   .speed = {[PRECISION_HALF] = {3.0, 0.88, 1.08},
                                             [PRECISION_TF32] = {3.0, 0.73, 0},
                                             [PRECISION_SINGLE] = {3.0, 1.00, 1.60}},
                                   .is_simple = has_no_gelu,
                                   .simple_speed = {[PRECISION_HALF] = {3.0, 0.88, 8.00},
                                                    [PRECISION_TF32] = {3.0, 0.73, 0},
                                                    [PRECISION_SINGLE] = {3.0, 1.00, 1.60}})),
};

/* Fixed parts of rows, summed in order, make the bias gradient independent of the number of
 * threads. */
static size_t bias_bytes(const Node *node, int64_t parts, size_t real) {
    bool has_bias = node->outputs[1] != NULL;
    return has_bias ? (size_t)parts * (size_t)tensor_columns(node->inputs[0]) * real : 0;
}

/* The product and the bias gradient, one after the other, use the same memory. */
static size_t dw_cpu(const Node *node, const Target *target) {
    const LinearAttrs *attrs = node->attrs;
    size_t parts = bias_bytes(node, LINEAR_BIAS_PARTS, dtype_size(dtype_wide(node->dtype))),
           scratch = linear_scratch(node, target, linear_dw_shape(node, attrs->accumulate));
    return parts > scratch ? parts : scratch;
}

static size_t bias_cuda(const Node *node, const Target *target) {
    (void)target;
    return bias_bytes(node, LINEAR_BIAS_PARTS_CUDA, sizeof(float));
}

static bool has_no_bias(const Node *node) { return node->outputs[1] == NULL; }

const Op linear_dw_op = {
    .name = "linear_dw",
    .cost = linear_dw_cost,
    .kernels = KERNELS(CPU_KERNEL(linear_dw, .refuses = linear_refuses_cpu, .workspace = dw_cpu),
                       CUDA_KERNEL(linear_dw, DTYPES_REAL, .workspace = bias_cuda,
                                   .speed = {[PRECISION_HALF] = {3.0, 1.00, 1.41},
                                             [PRECISION_TF32] = {3.0, 1.00, 0.33},
                                             [PRECISION_SINGLE] = {3.0, 1.00, 0}},
                                   .is_simple = has_no_bias,
                                   .simple_speed = {[PRECISION_HALF] = {3.0, 1.00, 2.40},
                                                    [PRECISION_TF32] = {3.0, 1.00, 0.33},
                                                    [PRECISION_SINGLE] = {3.0, 1.00, 0}})),
};

void linear_dw_record(Program *p, GradTarget dw, GradTarget db, Tensor *dy, Tensor *x) {
    LinearAttrs attrs = {.accumulate = dw.accumulate, .accumulate_bias = db.accumulate};
    program_record(p, (Recording){&linear_dw_op, &attrs, sizeof attrs, TENSORS(dy, x),
                                  TENSORS(dw.grad, db.grad), NULL});
}

void linear_dx_record(Program *p, GradTarget dx, Tensor *dy, Tensor *w) {
    LinearAttrs attrs = {.accumulate = dx.accumulate};
    program_record(p, (Recording){&linear_dx_op, &attrs, sizeof attrs, TENSORS(dy, w, NULL),
                                  TENSORS(dx.grad), NULL});
}

void linear_gradient_record(Program *p, Tensor *dy, Tensor *x, Tensor *w, Tensor *bias) {
    GradTarget dw = autodiff_target(p, w), db = autodiff_target(p, bias);
    if (dw.grad != NULL) linear_dw_record(p, dw, db, dy, x);
    /* dx comes last, so that the gradient of a preceding GELU can be fused with it: see
     * gelu_backward_record. */
    GradTarget dx = autodiff_target(p, x);
    if (dx.grad != NULL) linear_dx_record(p, dx, dy, w);
}
