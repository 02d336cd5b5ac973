/* Eight-bit operands, emulated: f32 values are rounded to the format. Compiled once, for f32. */
#define REAL float
#define REAL_NAME f32
#include "core/ops/quantize.h"

#include "core/cpu/codes.h"
#include "core/cpu/gelu.h"

Status quantize_cpu(const Node *node, void *stream);
Status float8_transpose_cpu(const Node *node, void *stream);
Status float8_scale_cpu(const Node *node, void *stream);

/* A NaN stays NaN. */
static float positive(float x) { return x < 0 ? 0 : x; }

static float value_at(QuantizeValues values, const float *x, const float *pre, int64_t i) {
    switch (values) {
    case QUANTIZE_GELU: return gelu_value(x[i]);
    case QUANTIZE_GELU_GRADIENT: return x[i] * gelu_derivative(pre[i]);
    case QUANTIZE_RELU2: return positive(x[i]) * positive(x[i]);
    case QUANTIZE_RELU2_GRADIENT: return 2 * x[i] * positive(pre[i]);
    case QUANTIZE_X: break;
    }
    return x[i];
}

static void *data_or_null(const Tensor *t) { return t == NULL ? NULL : tensor_data(t); }

/* Adds part `part` of the rows into its line of the workspace. */
static void sums_part(const Node *node, int64_t part, int64_t rows, int64_t columns) {
    const QuantizeAttrs *attrs = node->attrs;
    const float *x = tensor_data(node->inputs[0]), *pre = data_or_null(node->inputs[2]);
    float *sum = (float *)tensor_data(node->workspace) + part * columns;
    int64_t first, end;
    range_part(rows, QUANTIZE_PARTS, part, &first, &end);
    memset(sum, 0, (size_t)columns * sizeof *sum);
    for (int64_t row = first; row < end; row++) {
        for (int64_t j = 0; j < columns; j++)
            sum[j] += value_at(attrs->values, x, pre, row * columns + j);
    }
}

static void column_sums(const Node *node, int64_t rows, int64_t columns) {
    const QuantizeAttrs *attrs = node->attrs;
    float *sums = tensor_data(node->outputs[QUANTIZE_SUMS]);
    const float *parts = tensor_data(node->workspace);
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < QUANTIZE_PARTS; part++) sums_part(node, part, rows, columns);
    if (!attrs->accumulate_sums) memset(sums, 0, (size_t)columns * sizeof *sums);
    for (int64_t part = 0; part < QUANTIZE_PARTS; part++) {
        for (int64_t j = 0; j < columns; j++) sums[j] += parts[part * columns + j];
    }
}

Status quantize_cpu(const Node *node, void *stream) {
    (void)stream;
    QuantizeValues values = ((const QuantizeAttrs *)node->attrs)->values;
    const float *x = tensor_data(node->inputs[0]), *pre = data_or_null(node->inputs[2]);
    int64_t rows = tensor_rows(node->inputs[0]), columns = tensor_columns(node->inputs[0]);
    Codes codes = codes_open(node->outputs[QUANTIZED], node->outputs[QUANTIZED_TRANSPOSED],
                             node->inputs[1], rows, columns);
    uint32_t largest = 0, saturated = 0;
#pragma omp parallel for schedule(static) reduction(max : largest) reduction(+ : saturated)
    for (int64_t row = 0; row < rows; row++) {
        Observation seen = {largest, saturated};
        for (int64_t j = 0; j < columns; j++)
            code_store(&codes, row, j, value_at(values, x, pre, row * columns + j), &seen);
        largest = seen.largest, saturated = seen.saturated;
    }
    observation_add(node->outputs[QUANTIZE_OBSERVED], (Observation){largest, saturated});
    if (node->outputs[QUANTIZE_SUMS] != NULL) column_sums(node, rows, columns);
    return OK;
}

Status float8_transpose_cpu(const Node *node, void *stream) {
    (void)stream;
    const uint8_t *q = tensor_data(node->inputs[0]);
    uint8_t *transposed = tensor_data(node->outputs[0]);
    int64_t rows = tensor_rows(node->inputs[0]), columns = tensor_columns(node->inputs[0]);
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < columns; j++) {
        for (int64_t row = 0; row < rows; row++) transposed[j * rows + row] = q[row * columns + j];
    }
    return OK;
}

Status float8_scale_cpu(const Node *node, void *stream) {
    (void)stream;
    const Float8ScaleAttrs *attrs = node->attrs;
    const float *x = tensor_data(node->inputs[0]);
    int64_t count = tensor_count(node->inputs[0]);
    uint32_t largest = 0;
#pragma omp parallel for schedule(static) reduction(max : largest)
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = size_bits(x[i]);
        largest = bits > largest ? bits : largest;
    }
    *(float *)tensor_data(node->outputs[0]) = float8_scale_of_bits(attrs->dtype, largest, 1);
    return OK;
}
