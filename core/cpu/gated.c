/* One thread per row. */
#include "core/ops/gated.h"

#include "core/cpu/gelu.h"

DECLARE_KERNELS(gated);
DECLARE_KERNELS(gated_backward);

static inline real sigmoid(real x) { return 1 / (1 + real_exp(-x)); }

enum { BLOCK = 64 }; /* elements of a row at a time */

/* One loop per kind vectorizes; a choice inside it would not. */
static void silu_values(const stored *x, int64_t count, real *value) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) value[j] = load(x[j]) * sigmoid(load(x[j]));
}

static void gelu_values(const stored *x, int64_t count, real *value) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) value[j] = gelu_value(load(x[j]));
}

static void silu_slopes(const stored *x, int64_t count, real *slope) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) {
        real s = sigmoid(load(x[j]));
        slope[j] = s * (1 + load(x[j]) * (1 - s));
    }
}

static void gelu_slopes(const stored *x, int64_t count, real *slope) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) slope[j] = gelu_derivative(load(x[j]));
}

/* The activations of a block, and their derivatives unless `slope` is NULL. */
static void activate(GatedKind kind, const stored *x, int64_t count, real *value, real *slope) {
    (kind == GATED_SILU ? silu_values : gelu_values)(x, count, value);
    if (slope != NULL) (kind == GATED_SILU ? silu_slopes : gelu_slopes)(x, count, slope);
}

static void block_forward(GatedKind kind, stored *y, const stored *gate, int64_t F, int64_t count) {
    real value[BLOCK];
    const stored *up = gate + F;
    activate(kind, gate, count, value, NULL);
#pragma omp simd
    for (int64_t j = 0; j < count; j++) y[j] = store(value[j] * load(up[j]));
}

static int64_t block_size(int64_t j, int64_t F) { return F - j < BLOCK ? F - j : BLOCK; }

Status KERNEL(gated)(const Node *node, void *stream) {
    (void)stream;
    GatedKind kind = ((const GatedAttrs *)node->attrs)->kind;
    const stored *pair = tensor_data(node->inputs[0]);
    stored *out = tensor_data(node->outputs[0]);
    int64_t rows = tensor_rows(node->outputs[0]), F = tensor_columns(node->outputs[0]);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t j = 0; j < F; j += BLOCK)
            block_forward(kind, out + row * F + j, pair + row * 2 * F + j, F, block_size(j, F));
    }
    return OK;
}

static void block_backward(stored *dgate, const stored *dy, const stored *gate, int64_t F,
                           int64_t count, const GatedAttrs *attrs) {
    real value[BLOCK], slope[BLOCK];
    stored *dup = dgate + F;
    const stored *up = gate + F;
    bool accumulate = attrs->accumulate;
    activate(attrs->kind, gate, count, value, slope);
#pragma omp simd
    for (int64_t j = 0; j < count; j++) {
        real d = load(dy[j]), to_gate = load(up[j]) * slope[j] * d, to_up = value[j] * d;
        dgate[j] = store(accumulate ? load(dgate[j]) + to_gate : to_gate);
        dup[j] = store(accumulate ? load(dup[j]) + to_up : to_up);
    }
}

Status KERNEL(gated_backward)(const Node *node, void *stream) {
    (void)stream;
    const stored *dy = tensor_data(node->inputs[0]), *pair = tensor_data(node->inputs[1]);
    stored *dpair = tensor_data(node->outputs[0]);
    int64_t rows = tensor_rows(node->inputs[0]), F = tensor_columns(node->inputs[0]);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t j = 0; j < F; j += BLOCK) {
            int64_t i = row * 2 * F + j;
            block_backward(dpair + i, dy + row * F + j, pair + i, F, block_size(j, F), node->attrs);
        }
    }
    return OK;
}
