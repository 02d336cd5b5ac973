#include "core/ops/qk.h"

#include "core/autodiff.h"

DECLARE_KERNELS(qk);
DECLARE_KERNELS(qk_backward);

static double tensor_size(const Tensor *t) { return t == NULL ? 0 : (double)tensor_bytes(t); }

/* The bytes of q and k in a packed tensor. */
static double heads_size(const Tensor *packed, const QkOptions *o) {
    return tensor_size(packed) * (double)(o->NH + o->NH_kv) / (double)(o->NH + 2 * o->NH_kv);
}

/* In place, only q and k are read and written. */
static Cost qk_cost(const Node *node) {
    const QkAttrs *attrs = node->attrs;
    const Tensor *qkv = node->inputs[0], *y = node->outputs[0];
    double packed = y->buffer == qkv->buffer ? heads_size(qkv, &attrs->options) : tensor_size(qkv);
    return (Cost){.bytes =
                      2 * packed + tensor_size(node->inputs[1]) + tensor_size(node->outputs[1])};
}

static Cost qk_backward_cost(const Node *node) {
    const QkAttrs *attrs = node->attrs;
    double heads = heads_size(node->outputs[0], &attrs->options);
    return (Cost){.bytes = (attrs->options.norm ? 3 : 2) * heads + tensor_size(node->inputs[0]) +
                           tensor_size(node->inputs[4])};
}

/* Partial sums of dq_gamma and dk_gamma, one line per part. */
static size_t parts_bytes(const Node *node, size_t parts, size_t element) {
    const QkAttrs *attrs = node->attrs;
    bool has_gamma = node->outputs[1] != NULL || node->outputs[2] != NULL;
    return has_gamma ? 2 * parts * (size_t)attrs->options.HS * element : 0;
}

/* In 16 bits, a head of f32 for each thread. */
static size_t lines_cpu(const Node *node, const Target *target) {
    const QkAttrs *attrs = node->attrs;
    if (node->dtype != DTYPE_BF16) return 0;
    return (size_t)target->threads * (size_t)attrs->options.HS * sizeof(float);
}

static size_t parts_cpu(const Node *node, const Target *target) {
    return parts_bytes(node, QK_PARTS, dtype_size(dtype_wide(node->dtype))) +
           lines_cpu(node, target);
}

static size_t parts_cuda(const Node *node, const Target *target) {
    (void)target;
    return parts_bytes(node, QK_BLOCKS, sizeof(float));
}

/* Rotations alone are faster than norms and rotations in the same kernel. */
static bool only_rotates(const Node *node) {
    const QkAttrs *attrs = node->attrs;
    return !attrs->options.norm;
}

const Op qk_backward_op = {
    .name = "qk_backward",
    .cost = qk_backward_cost,
    .typed_by = OUTPUT(0),
    .kernels = KERNELS(CPU_KERNEL(qk_backward, .workspace = parts_cpu),
                       CUDA_KERNEL(qk_backward, DTYPES_REAL, .workspace = parts_cuda,
                                   .speed = SPEED(3.0, 0, 0.67), .is_simple = only_rotates,
                                   .simple_speed = SPEED(3.0, 0, 0.82))),
};

static void qk_gradient(Program *p, const Node *node) {
    Tensor *qkv = node->inputs[0], *table = node->inputs[1], *q_gamma = node->inputs[2],
           *k_gamma = node->inputs[3];
    QkAttrs attrs = *(const QkAttrs *)node->attrs;
    Tensor *d = autodiff_exclusive(p, node->outputs[0]);
    GradTarget dq = autodiff_target(p, q_gamma), dk = autodiff_target(p, k_gamma);
    attrs.accumulate_q = dq.accumulate;
    attrs.accumulate_k = dk.accumulate;
    Tensor *kept = attrs.options.norm ? qkv : NULL;
    program_record(p, (Recording){&qk_backward_op, &attrs, sizeof attrs,
                                  TENSORS(table, kept, q_gamma, k_gamma, node->outputs[1]),
                                  TENSORS(d, dq.grad, dk.grad), NULL});
    autodiff_share(p, qkv, d);
}

const Op qk_op = {
    .name = "qk",
    .gradient = qk_gradient,
    .cost = qk_cost,
    .kernels = KERNELS(CPU_KERNEL(qk, .workspace = lines_cpu),
                       CUDA_KERNEL(qk, DTYPES_REAL, .speed = SPEED(3.0, 0, 0.73),
                                   .is_simple = only_rotates, .simple_speed = SPEED(3.0, 0, 0.80))),
};

static bool table_fits(const Tensor *table, const Tensor *qkv, int64_t HS) {
    if (table == NULL) return true;
    DType dtype = dtype_wide(qkv->dtype);
    int64_t rows = tensor_rows(table), columns = tensor_columns(table);
    return table->dtype == dtype && columns % 2 == 0 && columns <= HS &&
           (rows == tensor_rows(qkv) || (qkv->n_dims == 3 && rows == qkv->shape[1]));
}

static bool gamma_fits(const Tensor *gamma, const QkOptions *o) {
    return gamma == NULL || (o->norm && tensor_count(gamma) == o->HS);
}

static bool is_valid(Program *p, const Tensor *qkv, const Tensor *table, const Tensor *q_gamma,
                     const Tensor *k_gamma, const QkOptions *o) {
    if (o->NH < 1 || o->NH_kv < 1 || o->HS < 1 ||
        tensor_columns(qkv) != (o->NH + 2 * o->NH_kv) * o->HS) {
        program_fail(p, STATUS_CONFIG, "qk: %s does not hold %lld and twice %lld heads of %lld",
                     tensor_text(qkv), (long long)o->NH, (long long)o->NH_kv, (long long)o->HS);
    } else if (!table_fits(table, qkv, o->HS)) {
        program_fail(p, STATUS_CONFIG, "qk: the table %s does not fit heads of %lld in %s",
                     tensor_text(table), (long long)o->HS, tensor_text(qkv));
    } else if (!gamma_fits(q_gamma, o) || !gamma_fits(k_gamma, o)) {
        program_fail(p, STATUS_CONFIG, "qk: gamma %s does not fit %s heads of %lld",
                     tensor_text(gamma_fits(q_gamma, o) ? k_gamma : q_gamma),
                     o->norm ? "normalized" : "unnormalized", (long long)o->HS);
    }
    return !program_failed(p);
}

static Tensor *rstd_create(Program *p, const Tensor *qkv, const QkOptions *o) {
    if (!o->norm || !p->training) return NULL;
    DType dtype = dtype_wide(qkv->dtype);
    int64_t shape[] = {tensor_rows(qkv), o->NH + o->NH_kv};
    return program_tensor(p, BUFFER_ACTIVATIONS, dtype, 2, shape);
}

Tensor *qk_record(Program *p, Tensor *qkv, Tensor *table, Tensor *q_gamma, Tensor *k_gamma,
                  const QkOptions *options) {
    if (program_failed(p) || qkv == NULL) return NULL;
    if (!is_valid(p, qkv, table, q_gamma, k_gamma, options)) return NULL;
    if (!options->norm && table == NULL) return qkv;
    Tensor *rstd = rstd_create(p, qkv, options);
    Tensor *y = rstd == NULL
                    ? program_view(p, qkv->buffer, qkv->offset, qkv->dtype, qkv->n_dims, qkv->shape)
                    : program_tensor_like(p, BUFFER_ACTIVATIONS, qkv);
    QkAttrs attrs = {.options = *options};
    program_record(p, (Recording){&qk_op, &attrs, sizeof attrs,
                                  TENSORS(qkv, table, q_gamma, k_gamma), TENSORS(y, rstd), NULL});
    return y;
}
