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

static bool is_fast(const Node *node) { return ((const ProductF8Attrs *)node->attrs)->fast; }

/* Fractions of the ceilings of 16-bit products and of memory, fitted to six products on an H200 at
 * its power limit, to 12%: docs/results/cuda_fp8.md. With fast accumulation (the simple speed), to
 * steps of GPT-2 124M and of the recipe. */
static const Kernel *const product_kernels[] = {
    &(const Kernel){.device = DEVICE_CPU,
                    .dtypes = DTYPES_F8,
                    .workspace = wide_operands,
                    .run = product_f8_cpu},
    &(const Kernel){.device = DEVICE_CUDA,
                    .dtypes = DTYPES_F8,
                    .refuses = float8_refuses,
                    .speed = {[PRECISION_EIGHT] = {3.0, 2.60, 0.75}},
                    .is_simple = is_fast,
                    .simple_speed = {[PRECISION_EIGHT] = {3.0, 2.95, 0.85}},
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

static void dw_record(Program *p, const LinearF8 *layer, GradTarget dw, const Quantized *dy,
                      Tensor *x) {
    Quantized xt = quantize_once(p, x, &layer->x, (QuantizeWants){.transposed = true});
    gradient_product(p, &linear_dw_f8_op, layer, dw, dy->transposed, dy->scale, xt.transposed,
                     xt.scale);
}

static void dx_record(Program *p, const LinearF8 *layer, GradTarget dx, const Quantized *dy,
                      Tensor *w) {
    Quantized wt = quantize_once(p, w, &layer->w, (QuantizeWants){.transposed = true});
    gradient_product(p, &linear_dx_f8_op, layer, dx, dy->q, dy->scale, wt.transposed, wt.scale);
}

void linear_f8_gradient_record(Program *p, Tensor *dy, Tensor *x, Tensor *w, Tensor *bias,
                               const LinearF8 *layer) {
    GradTarget dw = autodiff_target(p, w), db = autodiff_target(p, bias);
    QuantizeWants wants = {.transposed = layer->dw && dw.grad != NULL,
                           .q = layer->dx && x != NULL && x->needs_grad};
    if (wants.transposed) wants.sums = db.grad, wants.accumulate_sums = db.accumulate;
    Quantized q = {0};
    if (wants.q || wants.transposed) q = quantize_record(p, dy, &layer->dy, wants);
    if (wants.transposed)
        dw_record(p, layer, dw, &q, x);
    else if (dw.grad != NULL)
        linear_dw_record(p, dw, db, dy, x);
    GradTarget dx = autodiff_target(p, x);
    if (wants.q)
        dx_record(p, layer, dx, &q, w);
    else if (dx.grad != NULL)
        linear_dx_record(p, dx, dy, w);
}
