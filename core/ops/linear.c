#include "core/ops/linear.h"

#include "core/autodiff.h"
#include "core/ops/gelu.h"
#include "core/ops/linear_f8_gradient.h"
#include "core/ops/linear_product.h"

DECLARE_KERNELS(linear);

static Cost linear_cost(const Node *node) {
    const Tensor *x = node->inputs[0], *w = node->inputs[1], *y = node->outputs[0];
    return (Cost){.flops = 2.0 * (double)tensor_count(y) * (double)tensor_columns(x),
                  .bytes = (double)(tensor_bytes(x) + tensor_bytes(w) + tensor_bytes(y))};
}

static void linear_gradient(Program *p, const Node *node) {
    const LinearAttrs *attrs = node->attrs;
    Tensor *dy = attrs->gelu ? autodiff_exclusive(p, node->outputs[0])
                             : autodiff_gradient(p, node->outputs[0]);
    Tensor *x = node->inputs[0], *w = node->inputs[1], *bias = node->inputs[2];
    if (attrs->gelu) gelu_backward_record(p, dy, node->outputs[1]);
    if (attrs->layer != NULL)
        linear_f8_gradient_record(p, dy, x, w, bias, attrs->layer);
    else
        linear_gradient_record(p, dy, x, w, bias);
}

static bool has_no_epilogue(const Node *node) {
    const LinearAttrs *attrs = node->attrs;
    return node->inputs[2] == NULL && !attrs->gelu;
}

static size_t scratch_cpu(const Node *node, const Target *target) {
    return linear_scratch(node, target, linear_shape(node));
}

const Op linear_op = {
    .name = "linear",
    .gradient = linear_gradient,
    .cost = linear_cost,
    .kernels = KERNELS(CPU_KERNEL(linear, .refuses = linear_refuses_cpu, .workspace = scratch_cpu),
                       CUDA_KERNEL(linear, DTYPES_REAL,
                                   .speed = {[PRECISION_HALF] = {3.0, 1.00, 0.99},
                                             [PRECISION_TF32] = {3.0, 0.79, 0},
                                             [PRECISION_SINGLE] = {3.0, 1.00, 0.53}},
                                   .is_simple = has_no_epilogue,
                                   .simple_speed = {[PRECISION_HALF] = {3.0, 1.00, 2.20},
                                                    [PRECISION_TF32] = {3.0, 0.79, 0},
                                                    [PRECISION_SINGLE] = {3.0, 1.00, 0.53}})),
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

static Tensor *layer_record(Program *p, Tensor *x, Tensor *w, Tensor *bias, LinearAttrs attrs) {
    if (program_failed(p) || !shapes_fit(p, x, w, bias)) return NULL;
    Tensor like = *x;
    like.shape[x->n_dims - 1] = w->shape[0];
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, &like);
    bool keeps = attrs.gelu && p->training;
    Tensor *pre = keeps ? program_tensor_like(p, BUFFER_ACTIVATIONS, &like) : NULL;
    program_record(p, (Recording){&linear_op, &attrs, sizeof attrs, TENSORS(x, w, bias),
                                  TENSORS(y, pre), NULL});
    return y;
}

Tensor *linear_record(Program *p, Tensor *x, Tensor *w, Tensor *bias, bool gelu) {
    return layer_record(p, x, w, bias, (LinearAttrs){.gelu = gelu});
}

Tensor *linear_record_f8_gradient(Program *p, Tensor *x, Tensor *w, Tensor *bias,
                                  const LinearF8 *layer) {
    return layer_record(p, x, w, bias, (LinearAttrs){.layer = layer});
}

void linear_into(Program *p, Tensor *y, Tensor *x, Tensor *w) {
    LinearAttrs attrs = {0};
    if (program_failed(p) || !shapes_fit(p, x, w, NULL)) return;
    autodiff_done(program_record(
        p, (Recording){&linear_op, &attrs, sizeof attrs, TENSORS(x, w, NULL), TENSORS(y), NULL}));
}
