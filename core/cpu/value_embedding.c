#include "core/ops/value_embedding.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(value_embedding);
DECLARE_KERNELS(value_embedding_backward);

Status KERNEL(value_embedding)(const Node *node, void *stream) {
    (void)stream;
    const ValueEmbeddingAttrs *a = node->attrs;
    const Tensor *y = node->outputs[0];
    const stored *e = tensor_data(node->inputs[1]), *gate = tensor_data(node->inputs[2]);
    int64_t rows = tensor_rows(y), columns = tensor_columns(y), width = a->NH_kv * a->HS;
    stored *values = (stored *)tensor_data(y) + (a->NH + a->NH_kv) * a->HS;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t head = 0; head < a->NH_kv; head++) {
            stored *v = values + row * columns + head * a->HS;
            const stored *in = e + row * width + head * a->HS;
#pragma omp simd
            for (int64_t j = 0; j < a->HS; j++)
                v[j] = store(load(v[j]) + load(gate[head]) * load(in[j]));
        }
    }
    return OK;
}

/* de = gate dv, if wanted; returns the sum of dv e. */
static real head_backward(const stored *dv, const stored *e, real gate, stored *de, int64_t HS,
                          bool accumulate) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < HS; j++) sum += load(dv[j]) * load(e[j]);
    if (de == NULL) return sum;
#pragma omp simd
    for (int64_t j = 0; j < HS; j++)
        de[j] = store((accumulate ? load(de[j]) : 0) + gate * load(dv[j]));
    return sum;
}

static void part_backward(const Node *node, int64_t part, double *dgate) {
    const ValueEmbeddingAttrs *a = node->attrs;
    const Tensor *d = node->inputs[0];
    int64_t columns = tensor_columns(d), width = a->NH_kv * a->HS, first, end;
    const stored *dv = (const stored *)tensor_data(d) + (a->NH + a->NH_kv) * a->HS;
    const stored *e = tensor_data(node->inputs[1]), *gate = tensor_data(node->inputs[2]);
    stored *de = node->outputs[0] == NULL ? NULL : tensor_data(node->outputs[0]);
    range_part(tensor_rows(d), VALUE_EMBEDDING_PARTS, part, &first, &end);
    memset(dgate, 0, (size_t)a->NH_kv * sizeof *dgate);
    for (int64_t row = first; row < end; row++) {
        for (int64_t head = 0; head < a->NH_kv; head++) {
            int64_t at = row * width + head * a->HS;
            dgate[head] +=
                (double)head_backward(dv + row * columns + head * a->HS, e + at, load(gate[head]),
                                      de == NULL ? NULL : de + at, a->HS, a->accumulate_e);
        }
    }
}

Status KERNEL(value_embedding_backward)(const Node *node, void *stream) {
    (void)stream;
    const ValueEmbeddingAttrs *a = node->attrs;
    double *parts = tensor_data(node->workspace);
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < VALUE_EMBEDDING_PARTS; part++)
        part_backward(node, part, parts + part * a->NH_kv);
    if (node->outputs[1] == NULL) return OK;
    real *dgate = tensor_data(node->outputs[1]);
    for (int64_t head = 0; head < a->NH_kv; head++) {
        double sum = a->accumulate_gate ? (double)dgate[head] : 0;
        for (int64_t part = 0; part < VALUE_EMBEDDING_PARTS; part++)
            sum += parts[part * a->NH_kv + head];
        dgate[head] = (real)sum;
    }
    return OK;
}
