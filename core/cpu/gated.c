/* One thread per row. */
#include "core/ops/gated.h"

#include "core/cpu/gelu.h"

DECLARE_KERNELS(gated);
DECLARE_KERNELS(gated_backward);

static inline real sigmoid(real x) { return 1 / (1 + real_exp(-x)); }

enum { BLOCK = 64 }; /* elements of a row at a time */

/* One loop per kind vectorizes; a choice inside it would not. */
static void silu_values(const real *x, int64_t count, real *value) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) value[j] = x[j] * sigmoid(x[j]);
}

static void gelu_values(const real *x, int64_t count, real *value) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) value[j] = gelu_value(x[j]);
}

static void silu_slopes(const real *x, int64_t count, real *slope) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) {
        real s = sigmoid(x[j]);
        slope[j] = s * (1 + x[j] * (1 - s));
    }
}

static void gelu_slopes(const real *x, int64_t count, real *slope) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) slope[j] = gelu_derivative(x[j]);
}

/* The activations of a block, and their derivatives unless `slope` is NULL. */
static void activate(GatedKind kind, const real *x, int64_t count, real *value, real *slope) {
    (kind == GATED_SILU ? silu_values : gelu_values)(x, count, value);
    if (slope != NULL) (kind == GATED_SILU ? silu_slopes : gelu_slopes)(x, count, slope);
}

Status KERNEL(gated)(const Node *node, void *stream) {
    (void)stream;
    GatedKind kind = ((const GatedAttrs *)node->attrs)->kind;
    const real *pair = tensor_data(node->inputs[0]);
    real *out = tensor_data(node->outputs[0]);
    int64_t rows = tensor_rows(node->outputs[0]), F = tensor_columns(node->outputs[0]);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const real *up = pair + row * 2 * F + F;
        real *y = out + row * F;
        activate(kind, pair + row * 2 * F, F, y, NULL);
#pragma omp simd
        for (int64_t j = 0; j < F; j++) y[j] *= up[j];
    }
    return OK;
}

static void block_backward(real *dgate, const real *dy, const real *gate, int64_t F, int64_t count,
                           const GatedAttrs *attrs) {
    real value[BLOCK], slope[BLOCK], *dup = dgate + F;
    const real *up = gate + F;
    bool accumulate = attrs->accumulate;
    activate(attrs->kind, gate, count, value, slope);
#pragma omp simd
    for (int64_t j = 0; j < count; j++) {
        real to_gate = up[j] * slope[j] * dy[j], to_up = value[j] * dy[j];
        dgate[j] = accumulate ? dgate[j] + to_gate : to_gate;
        dup[j] = accumulate ? dup[j] + to_up : to_up;
    }
}

Status KERNEL(gated_backward)(const Node *node, void *stream) {
    (void)stream;
    const real *dy = tensor_data(node->inputs[0]), *pair = tensor_data(node->inputs[1]);
    real *dpair = tensor_data(node->outputs[0]);
    int64_t rows = tensor_rows(node->inputs[0]), F = tensor_columns(node->inputs[0]);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t j = 0; j < F; j += BLOCK) {
            int64_t i = row * 2 * F + j;
            block_backward(dpair + i, dy + row * F + j, pair + i, F, F - j < BLOCK ? F - j : BLOCK,
                           node->attrs);
        }
    }
    return OK;
}
