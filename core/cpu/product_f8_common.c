/* Eight-bit products, emulated: operands are decoded to f32, and OpenBLAS multiplies them. Products
 * of two codes are exact in f32. Compiled once, for f32. */
#include "core/ops/linear_f8_gradient.h"

#include "core/float8.h"

#include <cblas.h>

Status product_f8_cpu(const Node *node, void *stream);

static void decode(const Tensor *t, float *out) {
    const uint8_t *codes = tensor_data(t);
    int64_t count = tensor_count(t);
    float values[256];
    for (int code = 0; code < 256; code++) values[code] = float8_value(t->dtype, (uint8_t)code);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) out[i] = values[codes[i]];
}

static void bias_add(float *out, const float *bias, int64_t rows, int64_t columns) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t j = 0; j < columns; j++) out[row * columns + j] += bias[j];
    }
}

Status product_f8_cpu(const Node *node, void *stream) {
    (void)stream;
    const ProductF8Attrs *attrs = node->attrs;
    const Tensor *a = node->inputs[0], *b = node->inputs[1], *bias = node->inputs[4];
    float *out = tensor_data(node->outputs[0]), *wide_a = tensor_data(node->workspace),
          *wide_b = wide_a + tensor_count(a);
    float scale =
        *(const float *)tensor_data(node->inputs[2]) * *(const float *)tensor_data(node->inputs[3]);
    int rows = (int)tensor_rows(a), columns = (int)tensor_rows(b), depth = (int)tensor_columns(a);
    decode(a, wide_a);
    decode(b, wide_b);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, columns, depth, scale, wide_a, depth,
                wide_b, depth, attrs->accumulate ? 1 : 0, out, columns);
    if (bias != NULL) bias_add(out, tensor_data(bias), rows, columns);
    return OK;
}
