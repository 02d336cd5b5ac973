#include "core/ops/embedding.h"

#include "core/autodiff.h"

DECLARE_KERNELS(embedding);
DECLARE_KERNELS(embedding_backward);
Status embedding_order_cuda(const Node *node, void *stream);

/* Only the rows that are looked up, not the whole table. */
static Cost embedding_cost(const Node *node) {
    return (Cost){.bytes = 3.0 * (double)tensor_bytes(node->outputs[0])};
}

static Cost embedding_backward_cost(const Node *node) {
    return (Cost){.bytes = 3.0 * (double)tensor_bytes(node->inputs[0])};
}

/* Four lists of tokens, and the counts of their sort: core/cuda/sort.cuh. */
static size_t order_bytes(const Tensor *tokens) {
    size_t count = (size_t)tensor_count(tokens);
    return (4 * count + 256 * ((count + 2047) / 2048)) * sizeof(int32_t);
}

/* Two lines of sums for each range of sorted rows, then the order of the tokens if it is not
 * given. */
static size_t backward_workspace(const Node *node, const Target *target) {
    (void)target;
    const Tensor *dx = node->inputs[0], *tokens = node->inputs[1], *order = node->inputs[2];
    size_t count = (size_t)tensor_count(tokens),
           ranges = (count + EMBEDDING_RANGE - 1) / EMBEDDING_RANGE;
    return 2 * ranges * (size_t)tensor_columns(dx) * sizeof(float) +
           (order == NULL ? order_bytes(tokens) : 0);
}

const Op embedding_backward_op = {
    .name = "embedding_backward",
    .cost = embedding_backward_cost,
    .kernels = KERNELS(CPU_KERNEL(embedding_backward),
                       CUDA_KERNEL(embedding_backward, DTYPES_REAL, .workspace = backward_workspace,
                                   .speed = SPEED(70.0, 0, 0.49))),
};

static const Op embedding_order_op = {
    .name = "embedding_order",
    .kernels = KERNELS(CUDA_KERNEL(embedding_order, DTYPE_BIT(DTYPE_I32), .speed = MEMORY_SPEED)),
};

Tensor *embedding_order_record(Program *p, Tensor *tokens, int64_t V) {
    if (program_failed(p) || tokens == NULL) return NULL;
    if (!op_has_kernel(&embedding_order_op, p->target.kind)) return NULL;
    Tensor *order = program_workspace(p, order_bytes(tokens));
    program_record(
        p, (Recording){&embedding_order_op, &V, sizeof V, TENSORS(tokens), TENSORS(order), NULL});
    return order;
}

void embedding_gradient_record(Program *p, Tensor *dx, Tensor *tokens, Tensor *order, Tensor *wte,
                               Tensor *wpe) {
    if (program_failed(p) || dx == NULL || tokens == NULL) return;
    GradTarget dwte = autodiff_target(p, wte), dwpe = autodiff_target(p, wpe);
    EmbeddingAttrs attrs = {dwte.accumulate, dwpe.accumulate};
    program_record(p, (Recording){&embedding_backward_op, &attrs, sizeof attrs,
                                  TENSORS(dx, tokens, order), TENSORS(dwte.grad, dwpe.grad), NULL});
}

/* The order that an earlier gradient has recorded for these tokens; NULL if there is none. */
static Tensor *order_find(const Program *p, const Tensor *tokens, int64_t V) {
    for (int i = 0; i < p->n_nodes; i++) {
        const Node *node = p->nodes[i];
        if (node->op == &embedding_order_op && node->inputs[0] == tokens &&
            *(const int64_t *)node->attrs == V)
            return node->outputs[0];
    }
    return NULL;
}

static int lookups_count(const Program *p, const Tensor *tokens) {
    int count = 0;
    for (int i = 0; i < p->n_nodes; i++)
        count += p->nodes[i]->op == &embedding_op && p->nodes[i]->inputs[0] == tokens;
    return count;
}

static void embedding_gradient(Program *p, const Node *node) {
    Tensor *tokens = node->inputs[0], *wte = node->inputs[1];
    Tensor *order = order_find(p, tokens, tensor_rows(wte));
    if (order == NULL && lookups_count(p, tokens) > 1)
        order = embedding_order_record(p, tokens, tensor_rows(wte));
    embedding_gradient_record(p, autodiff_gradient(p, node->outputs[0]), tokens, order, wte,
                              node->inputs[2]);
}

const Op embedding_op = {
    .name = "embedding",
    .gradient = embedding_gradient,
    .cost = embedding_cost,
    .typed_by = OUTPUT(0),
    .kernels = KERNELS(CPU_KERNEL(embedding),
                       CUDA_KERNEL(embedding, DTYPES_REAL, .speed = SPEED(3.0, 0, 0.75))),
};

Tensor *embedding_record(Program *p, Tensor *tokens, Tensor *wte, Tensor *wpe) {
    if (program_failed(p) || tokens == NULL || wte == NULL) return NULL;
    int64_t shape[] = {tokens->shape[0], tokens->shape[1], tensor_columns(wte)};
    if (wpe != NULL && shape[1] > wpe->shape[0]) {
        return program_fail(p, STATUS_CONFIG,
                            "embedding: %lld positions, but the model has %lld (model.block_size)",
                            (long long)shape[1], (long long)wpe->shape[0]);
    }
    Tensor *x = program_tensor(p, BUFFER_ACTIVATIONS, wte->dtype, 3, shape);
    program_record(
        p, (Recording){&embedding_op, NULL, 0, TENSORS(tokens, wte, wpe), TENSORS(x), NULL});
    return x;
}
