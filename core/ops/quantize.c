#include "core/ops/quantize.h"

Status quantize_cpu(const Node *node, void *stream);
Status quantize_cuda(const Node *node, void *stream);
Status float8_transpose_cpu(const Node *node, void *stream);
Status float8_transpose_cuda(const Node *node, void *stream);
Status float8_scale_cpu(const Node *node, void *stream);
Status float8_scale_cuda(const Node *node, void *stream);

static size_t sums_bytes(const Node *node, int64_t parts) {
    const Tensor *sums = node->outputs[QUANTIZE_SUMS];
    return sums == NULL ? 0 : (size_t)(parts * tensor_count(sums)) * sizeof(float);
}

static size_t sums_cpu(const Node *node, const Target *target) {
    (void)target;
    return sums_bytes(node, QUANTIZE_PARTS);
}

static size_t sums_cuda(const Node *node, const Target *target) {
    (void)target;
    return sums_bytes(node, (tensor_rows(node->inputs[0]) + QUANTIZE_TILE - 1) / QUANTIZE_TILE);
}

const char *float8_refuses(const Node *node, const Target *target) {
    (void)node;
    return target->sm < 89 ? "eight-bit products need compute capability 8.9" : NULL;
}

const Op quantize_op = {
    .name = "quantize",
    .kernels = KERNELS(&(const Kernel){.device = DEVICE_CPU,
                                       .dtypes = DTYPE_BIT(DTYPE_F32),
                                       .workspace = sums_cpu,
                                       .run = quantize_cpu},
                       CUDA_KERNEL(quantize, DTYPES_REAL, .refuses = float8_refuses,
                                   .workspace = sums_cuda, .speed = SPEED(3.0, 0, 0.75))),
};

static size_t largest_cuda(const Node *node, const Target *target) {
    (void)node, (void)target;
    return sizeof(uint32_t);
}

const Op float8_scale_op = {
    .name = "float8_scale",
    .kernels = KERNELS(&(const Kernel){.device = DEVICE_CPU,
                                       .dtypes = DTYPE_BIT(DTYPE_F32),
                                       .run = float8_scale_cpu},
                       CUDA_KERNEL(float8_scale, DTYPES_REAL, .refuses = float8_refuses,
                                   .workspace = largest_cuda, .speed = SPEED(6.0, 0, 0.80))),
};

const Op float8_transpose_op = {
    .name = "float8_transpose",
    .kernels = KERNELS(
        &(const Kernel){.device = DEVICE_CPU, .dtypes = DTYPES_F8, .run = float8_transpose_cpu},
        CUDA_KERNEL(float8_transpose, DTYPES_F8, .refuses = float8_refuses,
                    .speed = {[PRECISION_EIGHT] = {3.0, 0, 0.80}})),
};

void float8_transpose_record(Program *p, Tensor *transposed, Tensor *q) {
    program_record(
        p, (Recording){&float8_transpose_op, NULL, 0, TENSORS(q), TENSORS(transposed), NULL});
}

static bool sizes_fit(Program *p, const Tensor *x) {
    if (tensor_rows(x) % QUANTIZE_UNIT == 0 && tensor_columns(x) % QUANTIZE_UNIT == 0) return true;
    program_fail(p, STATUS_CONFIG,
                 "eight-bit products need multiples of %d, not %lld rows of %lld; change "
                 "data.batch_size or the model's sizes, set training.fp8.head: false if it is the "
                 "head, or training.matmul: bf16",
                 QUANTIZE_UNIT, (long long)tensor_rows(x), (long long)tensor_columns(x));
    return false;
}

static Tensor *current_scale_record(Program *p, Tensor *x, DType dtype) {
    Float8ScaleAttrs attrs = {dtype};
    Tensor *scale = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_F32, 1, (int64_t[]){1});
    program_record(
        p, (Recording){&float8_scale_op, &attrs, sizeof attrs, TENSORS(x), TENSORS(scale), NULL});
    return scale;
}

Quantized quantize_record(Program *p, Tensor *x, const Float8Operand *operand,
                          QuantizeWants wants) {
    if (program_failed(p) || x == NULL || !sizes_fit(p, x)) return (Quantized){0};
    DType dtype = operand->dtype;
    BufferKind kind = x->buffer->kind == BUFFER_WEIGHTS ? BUFFER_ACTIVATIONS : x->buffer->kind;
    int64_t turned[] = {tensor_columns(x), tensor_rows(x)};
    Quantized out = {.scale = operand->scale};
    if (out.scale == NULL) out.scale = current_scale_record(p, x, dtype);
    if (wants.q) out.q = program_tensor(p, kind, dtype, x->n_dims, x->shape);
    if (wants.transposed) out.transposed = program_tensor(p, kind, dtype, 2, turned);
    QuantizeAttrs attrs = {.values = QUANTIZE_X, .accumulate_sums = wants.accumulate_sums};
    program_record(p, (Recording){&quantize_op, &attrs, sizeof attrs, TENSORS(x, out.scale, NULL),
                                  TENSORS(out.q, out.transposed, operand->observed, wants.sums),
                                  NULL});
    return out;
}

Quantized quantize_once(Program *p, Tensor *x, const Float8Operand *operand, QuantizeWants wants) {
    for (int i = p->n_nodes - 1; i >= 0 && x != NULL; i--) {
        const Node *node = p->nodes[i];
        if (node->op != &quantize_op || node->inputs[0] != x) continue;
        Quantized found = {node->outputs[QUANTIZED], node->outputs[QUANTIZED_TRANSPOSED],
                           node->inputs[1]};
        if ((found.q != NULL || !wants.q) && (found.transposed != NULL || !wants.transposed))
            return found;
    }
    return quantize_record(p, x, operand, wants);
}
