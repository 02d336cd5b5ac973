#include "core/ops/linear.h"

#include "core/autodiff.h"
#include "core/ops/gelu.h"

DECLARE_KERNELS(linear);
DECLARE_KERNELS(linear_dx);
DECLARE_KERNELS(linear_dw);

static Cost product_cost(const Tensor *a, const Tensor *b, const Tensor *out, int64_t depth) {
    return (Cost){.flops = 2.0 * (double)tensor_count(out) * (double)depth,
                  .bytes = (double)(tensor_bytes(a) + tensor_bytes(b) + tensor_bytes(out))};
}

static Cost linear_cost(const Node *node) {
    return product_cost(node->inputs[0], node->inputs[1], node->outputs[0],
                        tensor_columns(node->inputs[0]));
}

static Cost linear_dx_cost(const Node *node) {
    return product_cost(node->inputs[0], node->inputs[1], node->outputs[0],
                        tensor_columns(node->inputs[0]));
}

static Cost linear_dw_cost(const Node *node) {
    return product_cost(node->inputs[0], node->inputs[1], node->outputs[0],
                        tensor_rows(node->inputs[0]));
}

static void linear_gradient(Program *p, const Node *node) {
    const LinearAttrs *attrs = node->attrs;
    Tensor *dy = attrs->gelu ? autodiff_exclusive(p, node->outputs[0])
                             : autodiff_gradient(p, node->outputs[0]);
    if (attrs->gelu) gelu_backward_record(p, dy, node->outputs[1]);
    linear_gradient_record(p, dy, node->inputs[0], node->inputs[1], node->inputs[2]);
}

const Op linear_op = {
    .name = "linear",
    .gradient = linear_gradient,
    .cost = linear_cost,
    .kernels =
        KERNELS(CPU_KERNEL(linear), CUDA_KERNEL(linear, DTYPES_REAL,
                                                .speed = {[PRECISION_HALF] = {3.0, 1.00, 1.18},
                                                          [PRECISION_TF32] = {3.0, 0.79, 0},
                                                          [PRECISION_SINGLE] = {3.0, 1.00, 0.53}})),
};

const Op linear_dx_op = {
    .name = "linear_dx",
    .cost = linear_dx_cost,
    .kernels = KERNELS(CPU_KERNEL(linear_dx),
                       CUDA_KERNEL(linear_dx, DTYPES_REAL,
                                   .speed = {[PRECISION_HALF] = {3.0, 0.88, 3.30},
                                             [PRECISION_TF32] = {3.0, 0.73, 0},
                                             [PRECISION_SINGLE] = {3.0, 1.00, 1.60}})),
};

/* Fixed parts of rows, summed in order, make the bias's gradient independent of the number of
 * threads. */
static size_t bias_bytes(const Node *node, int64_t parts, size_t real) {
    bool has_bias = node->outputs[1] != NULL;
    return has_bias ? (size_t)parts * (size_t)tensor_columns(node->inputs[0]) * real : 0;
}

static size_t bias_cpu(const Node *node, const Target *target) {
    (void)target;
    return bias_bytes(node, LINEAR_BIAS_PARTS, dtype_size(node->dtype));
}

static size_t bias_cuda(const Node *node, const Target *target) {
    (void)target;
    return bias_bytes(node, LINEAR_BIAS_PARTS_CUDA, sizeof(float));
}

const Op linear_dw_op = {
    .name = "linear_dw",
    .cost = linear_dw_cost,
    .kernels = KERNELS(CPU_KERNEL(linear_dw, .workspace = bias_cpu),
                       CUDA_KERNEL(linear_dw, DTYPES_REAL, .workspace = bias_cuda,
                                   .speed = {[PRECISION_HALF] = {3.0, 1.00, 1.60},
                                             [PRECISION_TF32] = {3.0, 1.00, 0.33},
                                             [PRECISION_SINGLE] = {3.0, 1.00, 0}})),
};

static bool shapes_fit(Program *p, const Tensor *x, const Tensor *w, const Tensor *bias) {
    if (x == NULL || w == NULL) return false;
    bool fit = w->n_dims == 2 && tensor_columns(x) == w->shape[1] &&
               (bias == NULL || (bias->n_dims == 1 && bias->shape[0] == w->shape[0]));
    if (!fit)
        program_fail(p, STATUS_CONFIG, "linear: input %s does not fit weight %s", tensor_text(x),
                     tensor_text(w));
    return fit;
}

Tensor *linear_record(Program *p, Tensor *x, Tensor *w, Tensor *bias, bool gelu) {
    if (program_failed(p) || !shapes_fit(p, x, w, bias)) return NULL;
    Tensor like = *x;
    like.shape[x->n_dims - 1] = w->shape[0];
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, &like);
    Tensor *pre = gelu && p->training ? program_tensor_like(p, BUFFER_ACTIVATIONS, &like) : NULL;
    LinearAttrs attrs = {.gelu = gelu};
    program_record(p, (Recording){&linear_op, &attrs, sizeof attrs, TENSORS(x, w, bias),
                                  TENSORS(y, pre), NULL});
    return y;
}

void linear_into(Program *p, Tensor *y, Tensor *x, Tensor *w) {
    LinearAttrs attrs = {0};
    if (program_failed(p) || !shapes_fit(p, x, w, NULL)) return;
    autodiff_done(program_record(
        p, (Recording){&linear_op, &attrs, sizeof attrs, TENSORS(x, w, NULL), TENSORS(y), NULL}));
}

void linear_gradient_record(Program *p, Tensor *dy, Tensor *x, Tensor *w, Tensor *bias) {
    GradTarget dw = autodiff_target(p, w), db = autodiff_target(p, bias);
    if (dw.grad != NULL) {
        LinearAttrs attrs = {.accumulate = dw.accumulate, .accumulate_bias = db.accumulate};
        program_record(p, (Recording){&linear_dw_op, &attrs, sizeof attrs, TENSORS(dy, x),
                                      TENSORS(dw.grad, db.grad), NULL});
    }
    /* dx comes last, so that the gradient of a GELU below can join it: see gelu_backward_record. */
    GradTarget dx = autodiff_target(p, x);
    if (dx.grad != NULL) {
        LinearAttrs attrs = {.accumulate = dx.accumulate};
        program_record(p, (Recording){&linear_dx_op, &attrs, sizeof attrs, TENSORS(dy, w, NULL),
                                      TENSORS(dx.grad), NULL});
    }
}
