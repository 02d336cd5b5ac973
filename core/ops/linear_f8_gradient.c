#include "core/ops/linear_f8_gradient.h"

#include "core/autodiff.h"

Status product_f8_cpu(const Node *node, void *stream);
Status product_f8_cuda(const Node *node, void *stream);

static Cost product_cost(const Node *node) {
    const Tensor *a = node->inputs[0], *b = node->inputs[1], *out = node->outputs[0];
    return (Cost){.flops = 2.0 * (double)tensor_count(out) * (double)tensor_columns(b),
                  .bytes = (double)(tensor_bytes(a) + tensor_bytes(b) + tensor_bytes(out))};
}

/* Both operands as f32. */
static size_t wide_operands(const Node *node, const Target *target) {
    (void)target;
    return (size_t)(tensor_count(node->inputs[0]) + tensor_count(node->inputs[1])) * sizeof(float);
}

static void linear_f8_gradient(Program *p, const Node *node) {
    const ProductF8Attrs *attrs = node->attrs;
    linear_f8_gradient_record(p, autodiff_gradient(p, node->outputs[0]), node->inputs[5],
                              node->inputs[6], node->inputs[4], attrs->layer);
}

/* Fractions of the ceilings of 16-bit products and of memory, fitted to six products on an H200 at
 * its power limit, to 12%: docs/results/cuda_fp8.md. */
static const Kernel *const product_kernels[] = {
    &(const Kernel){.device = DEVICE_CPU,
                    .dtypes = DTYPES_F8,
                    .workspace = wide_operands,
                    .run = product_f8_cpu},
    &(const Kernel){.device = DEVICE_CUDA,
                    .dtypes = DTYPES_F8,
                    .refuses = float8_refuses,
                    .speed = {[PRECISION_EIGHT] = {3.0, 2.60, 0.75}},
                    .run = CUDA_RUN(product_f8_cuda)},
    NULL,
};

const Op linear_f8_op = {.name = "linear_f8",
                         .gradient = linear_f8_gradient,
                         .cost = product_cost,
                         .kernels = product_kernels};
const Op linear_dx_f8_op = {
    .name = "linear_dx_f8", .cost = product_cost, .kernels = product_kernels};
const Op linear_dw_f8_op = {
    .name = "linear_dw_f8", .cost = product_cost, .kernels = product_kernels};

static void gradient_product(Program *p, const Op *op, const LinearF8 *layer, GradTarget out,
                             Tensor *a, Tensor *scale_a, Tensor *b, Tensor *scale_b) {
    ProductF8Attrs attrs = {layer, out.accumulate, layer->fast_gradient};
    program_record(p, (Recording){op, &attrs, sizeof attrs, TENSORS(a, b, scale_a, scale_b, NULL),
                                  TENSORS(out.grad), NULL});
}

static void dw_record(Program *p, const LinearF8 *layer, GradTarget dw, GradTarget db, Tensor *dy,
                      const Quantized *turned, Tensor *x) {
    if (layer->dw) {
        Quantized xt = quantize_once(p, x, &layer->x, (QuantizeWants){.transposed = true});
        gradient_product(p, &linear_dw_f8_op, layer, dw, turned->transposed, turned->scale,
                         xt.transposed, xt.scale);
        return;
    }
    LinearAttrs attrs = {.accumulate = dw.accumulate, .accumulate_bias = db.accumulate};
    program_record(p, (Recording){&linear_dw_op, &attrs, sizeof attrs, TENSORS(dy, x),
                                  TENSORS(dw.grad, db.grad), NULL});
}

static void dx_record(Program *p, const LinearF8 *layer, GradTarget dx, Tensor *dy,
                      const Quantized *q, Tensor *w) {
    if (layer->dx) {
        Quantized wt = quantize_once(p, w, &layer->w, (QuantizeWants){.transposed = true});
        gradient_product(p, &linear_dx_f8_op, layer, dx, q->q, q->scale, wt.transposed, wt.scale);
        return;
    }
    LinearAttrs attrs = {.accumulate = dx.accumulate};
    program_record(p, (Recording){&linear_dx_op, &attrs, sizeof attrs, TENSORS(dy, w, NULL),
                                  TENSORS(dx.grad), NULL});
}

void linear_f8_gradient_record(Program *p, Tensor *dy, Tensor *x, Tensor *w, Tensor *bias,
                               const LinearF8 *layer) {
    GradTarget dw = autodiff_target(p, w), db = autodiff_target(p, bias);
    QuantizeWants wants = {.transposed = layer->dw && dw.grad != NULL,
                           .q = layer->dx && x != NULL && x->needs_grad};
    if (wants.transposed) wants.sums = db.grad, wants.accumulate_sums = db.accumulate;
    Quantized q = {0};
    if (wants.q || wants.transposed) q = quantize_record(p, dy, &layer->dy, wants);
    if (dw.grad != NULL) dw_record(p, layer, dw, db, dy, &q, x);
    GradTarget dx = autodiff_target(p, x);
    if (dx.grad != NULL) dx_record(p, layer, dx, dy, &q, w);
}
