#include "core/ops/value_embedding.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(value_embedding);
DECLARE_KERNELS(value_embedding_backward);

Status KERNEL(value_embedding)(const Node *node, void *stream) {
    (void)stream;
    const ValueEmbeddingAttrs *a = node->attrs;
    const Tensor *y = node->outputs[0];
    const real *e = tensor_data(node->inputs[1]), *gate = tensor_data(node->inputs[2]);
    int64_t rows = tensor_rows(y), columns = tensor_columns(y), width = a->NH_kv * a->HS;
    real *values = (real *)tensor_data(y) + (a->NH + a->NH_kv) * a->HS;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t head = 0; head < a->NH_kv; head++) {
            real *v = values + row * columns + head * a->HS;
            const real *in = e + row * width + head * a->HS;
#pragma omp simd
            for (int64_t j = 0; j < a->HS; j++) v[j] += gate[head] * in[j];
        }
    }
    return OK;
}

/* de = gate dv, if wanted; returns the sum of dv e. */
static real head_backward(const real *dv, const real *e, real gate, real *de, int64_t HS,
                          bool accumulate) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < HS; j++) sum += dv[j] * e[j];
    if (de == NULL) return sum;
#pragma omp simd
    for (int64_t j = 0; j < HS; j++) de[j] = (accumulate ? de[j] : 0) + gate * dv[j];
    return sum;
}

static void part_backward(const Node *node, int64_t part, double *dgate) {
    const ValueEmbeddingAttrs *a = node->attrs;
    const Tensor *d = node->inputs[0];
    int64_t columns = tensor_columns(d), width = a->NH_kv * a->HS, first, end;
    const real *dv = (const real *)tensor_data(d) + (a->NH + a->NH_kv) * a->HS;
    const real *e = tensor_data(node->inputs[1]), *gate = tensor_data(node->inputs[2]);
    real *de = node->outputs[0] == NULL ? NULL : tensor_data(node->outputs[0]);
    range_part(tensor_rows(d), VALUE_EMBEDDING_PARTS, part, &first, &end);
    memset(dgate, 0, (size_t)a->NH_kv * sizeof *dgate);
    for (int64_t row = first; row < end; row++) {
        for (int64_t head = 0; head < a->NH_kv; head++) {
            int64_t at = row * width + head * a->HS;
            dgate[head] +=
                (double)head_backward(dv + row * columns + head * a->HS, e + at, gate[head],
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
