#include "core/ops/value_embedding.h"

#include "core/autodiff.h"

DECLARE_KERNELS(value_embedding);
DECLARE_KERNELS(value_embedding_backward);

/* v and e are read, v or de is written. */
static Cost value_embedding_cost(const Node *node) {
    return (Cost){.bytes = 3 * (double)tensor_bytes(node->inputs[1])};
}

static size_t parts_cpu(const Node *node, const Target *target) {
    (void)target;
    return VALUE_EMBEDDING_PARTS * (size_t)tensor_count(node->inputs[2]) * sizeof(double);
}

static size_t parts_cuda(const Node *node, const Target *target) {
    (void)target;
    return VALUE_EMBEDDING_PARTS * (size_t)tensor_count(node->inputs[2]) * sizeof(float);
}

const Op value_embedding_backward_op = {
    .name = "value_embedding_backward",
    .cost = value_embedding_cost,
    .kernels = KERNELS(CPU_KERNEL(value_embedding_backward, .workspace = parts_cpu),
                       CUDA_KERNEL(value_embedding_backward, DTYPES_REAL, .workspace = parts_cuda,
                                   .speed = MEMORY_SPEED)),
};

/* The gradient of v is that of qkv. */
static void value_embedding_gradient(Program *p, const Node *node) {
    Tensor *qkv = node->inputs[0], *e = node->inputs[1], *gate = node->inputs[2];
    ValueEmbeddingAttrs attrs = *(const ValueEmbeddingAttrs *)node->attrs;
    Tensor *d = autodiff_gradient(p, node->outputs[0]);
    GradTarget de = autodiff_target(p, e), dgate = autodiff_target(p, gate);
    attrs.accumulate_e = de.accumulate;
    attrs.accumulate_gate = dgate.accumulate;
    program_record(p, (Recording){&value_embedding_backward_op, &attrs, sizeof attrs,
                                  TENSORS(d, e, gate), TENSORS(de.grad, dgate.grad), NULL});
    autodiff_share(p, qkv, d);
}

const Op value_embedding_op = {
    .name = "value_embedding",
    .gradient = value_embedding_gradient,
    .cost = value_embedding_cost,
    .kernels = KERNELS(CPU_KERNEL(value_embedding),
                       CUDA_KERNEL(value_embedding, DTYPES_REAL, .speed = MEMORY_SPEED)),
};

Tensor *value_embedding_record(Program *p, Tensor *qkv, Tensor *e, Tensor *gate, int64_t NH,
                               int64_t NH_kv, int64_t HS) {
    if (program_failed(p) || qkv == NULL || e == NULL || gate == NULL) return NULL;
    if (tensor_columns(qkv) != (NH + 2 * NH_kv) * HS || tensor_columns(e) != NH_kv * HS ||
        tensor_rows(e) != tensor_rows(qkv) || tensor_count(gate) != NH_kv) {
        return program_fail(
            p, STATUS_CONFIG, "value_embedding: %s and gate %s do not fit %lld heads of %lld in %s",
            tensor_text(e), tensor_text(gate), (long long)NH_kv, (long long)HS, tensor_text(qkv));
    }
    Tensor *y = program_view(p, qkv->buffer, qkv->offset, qkv->dtype, qkv->n_dims, qkv->shape);
    ValueEmbeddingAttrs attrs = {.NH = NH, .NH_kv = NH_kv, .HS = HS};
    program_record(p, (Recording){&value_embedding_op, &attrs, sizeof attrs, TENSORS(qkv, e, gate),
                                  TENSORS(y), NULL});
    return y;
}
