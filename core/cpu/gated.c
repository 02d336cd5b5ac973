/* One thread per row. */
#include "core/ops/gated.h"

#include "core/cpu/gelu.h"

DECLARE_KERNELS(gated);
DECLARE_KERNELS(gated_backward);

static inline real sigmoid(real x) { return 1 / (1 + real_exp(-x)); }

static inline real silu_value(real x) { return x * sigmoid(x); }

static inline real silu_derivative(real x) {
    real s = sigmoid(x);
    return s * (1 + x * (1 - s));
}

Status KERNEL(gated)(const Node *node, void *stream) {
    (void)stream;
    bool is_silu = ((const GatedAttrs *)node->attrs)->kind == GATED_SILU;
    const real *pair = tensor_data(node->inputs[0]);
    real *out = tensor_data(node->outputs[0]);
    int64_t rows = tensor_rows(node->outputs[0]), F = tensor_columns(node->outputs[0]);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const real *gate = pair + row * 2 * F, *up = gate + F;
        real *y = out + row * F;
#pragma omp simd
        for (int64_t j = 0; j < F; j++)
            y[j] = (is_silu ? silu_value(gate[j]) : gelu_value(gate[j])) * up[j];
    }
    return OK;
}

static void row_backward(real *dgate, const real *dy, const real *gate, int64_t F, bool is_silu,
                         bool accumulate) {
    real *dup = dgate + F;
    const real *up = gate + F;
#pragma omp simd
    for (int64_t j = 0; j < F; j++) {
        real value = is_silu ? silu_value(gate[j]) : gelu_value(gate[j]);
        real slope = is_silu ? silu_derivative(gate[j]) : gelu_derivative(gate[j]);
        real to_gate = up[j] * slope * dy[j], to_up = value * dy[j];
        dgate[j] = accumulate ? dgate[j] + to_gate : to_gate;
        dup[j] = accumulate ? dup[j] + to_up : to_up;
    }
}

Status KERNEL(gated_backward)(const Node *node, void *stream) {
    (void)stream;
    const GatedAttrs *attrs = node->attrs;
    const real *dy = tensor_data(node->inputs[0]), *pair = tensor_data(node->inputs[1]);
    real *dpair = tensor_data(node->outputs[0]);
    int64_t rows = tensor_rows(node->inputs[0]), F = tensor_columns(node->inputs[0]);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        row_backward(dpair + row * 2 * F, dy + row * F, pair + row * 2 * F, F,
                     attrs->kind == GATED_SILU, attrs->accumulate);
    }
    return OK;
}
