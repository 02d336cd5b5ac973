/* One thread per row; in 16 bits it works on a copy of the row in its line of the workspace. */
#include "core/ops/cross_entropy.h"

#include "core/cpu/real.h"
#include "core/ops/quantize.h"
#include "core/step.h"

#include <omp.h>

DECLARE_KERNELS(cross_entropy);
Status quantize_cpu(const Node *node, void *stream);

enum { SUM_BLOCK = 512 };

static real row_maximum(const real *x, int64_t V) {
    real maximum = x[0];
#pragma omp simd reduction(max : maximum)
    for (int64_t v = 0; v < V; v++) maximum = x[v] > maximum ? x[v] : maximum;
    return maximum;
}

/* Replaces the row by exp(x - maximum) and returns the sum. Sums in blocks: adding 50,000 small
 * terms one by one to a large f32 would lose three digits. */
static real row_exponentials(real *x, real maximum, int64_t V) {
    double total = 0;
    for (int64_t first = 0; first < V; first += SUM_BLOCK) {
        int64_t end = first + SUM_BLOCK < V ? first + SUM_BLOCK : V;
        real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t v = first; v < end; v++) {
            x[v] = real_exp(x[v] - maximum);
            sum += x[v];
        }
        total += (double)sum;
    }
    return (real)total;
}

/* `>` ignores a NaN logit for the maximum, but the sum includes it, so the loss becomes NaN. */
static real row_loss(real *x, int32_t target, int64_t V, real scale, bool gradient) {
    real maximum = row_maximum(x, V), wanted = x[target] - maximum;
    real sum = row_exponentials(x, maximum, V);
    if (gradient) {
        real factor = scale / sum;
#pragma omp simd
        for (int64_t v = 0; v < V; v++) x[v] *= factor;
        x[target] -= scale;
    }
    return (real)log((double)sum) - wanted;
}

/* ---- with a softcap: the row becomes t = tanh(x / cap), so that z = cap t ---- */

/* -infinity stays. */
static void row_tanh(real *x, real cap, int64_t V) {
#pragma omp simd
    for (int64_t v = 0; v < V; v++) x[v] = x[v] == -(real)INFINITY ? x[v] : real_tanh(x[v] / cap);
}

/* The sum of exp(z - maximum), in blocks. */
static real capped_sum(const real *t, real maximum, real cap, int64_t V) {
    double total = 0;
    for (int64_t first = 0; first < V; first += SUM_BLOCK) {
        int64_t end = first + SUM_BLOCK < V ? first + SUM_BLOCK : V;
        real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t v = first; v < end; v++) sum += real_exp(cap * (t[v] - maximum));
        total += (double)sum;
    }
    return (real)total;
}

static real row_capped_loss(real *x, int32_t target, int64_t V, real cap, real scale,
                            bool gradient) {
    row_tanh(x, cap, V);
    real maximum = row_maximum(x, V), t = x[target], wanted = cap * (t - maximum);
    real sum = capped_sum(x, maximum, cap, V);
    if (gradient) {
        real factor = scale / sum;
#pragma omp simd
        for (int64_t v = 0; v < V; v++) {
            real slope = x[v] == -(real)INFINITY ? 0 : 1 - x[v] * x[v];
            x[v] = real_exp(cap * (x[v] - maximum)) * factor * slope;
        }
        x[target] -= scale * (t == -(real)INFINITY ? 0 : 1 - t * t);
    }
    return (real)log((double)sum) - wanted;
}

/* The target is not a column: sets the loss and the gradient of every column to this value. */
static real row_without_target(real *x, int32_t target, int64_t V) {
    real value = target == CROSS_ENTROPY_IGNORED ? 0 : (real)NAN;
    for (int64_t v = 0; v < V; v++) x[v] = value;
    return value;
}

/* Quantizes the gradient, which is in the place of the logits. Programs in f64 do not. */
static Status gradient_quantize(const Node *node) {
    Tensor *inputs[] = {node->outputs[1], node->inputs[CROSS_ENTROPY_SCALE], NULL};
    Tensor *outputs[QUANTIZE_OUTPUTS] = {[QUANTIZED] = node->outputs[CROSS_ENTROPY_Q],
                                         [QUANTIZE_OBSERVED] =
                                             node->outputs[CROSS_ENTROPY_OBSERVED]};
    QuantizeAttrs attrs = {.values = QUANTIZE_X};
    return quantize_cpu(&(Node){.attrs = &attrs, .inputs = inputs, .outputs = outputs}, NULL);
}

static real *row_open(const Node *node, stored *row, int64_t V) {
    if (!IS_NARROW) return (real *)row;
    real *line = (real *)tensor_data(node->workspace) +
                 omp_get_thread_num() * tensor_columns(node->outputs[1]);
    values_load(line, row, V);
    return line;
}

Status KERNEL(cross_entropy)(const Node *node, void *stream) {
    (void)stream;
    const CrossEntropyAttrs *attrs = node->attrs;
    const int32_t *targets = tensor_data(node->inputs[0]);
    const StepState *step = tensor_data(node->inputs[1]);
    const Tensor *logits = node->outputs[1];
    stored *x = tensor_data(logits);
    real *losses = tensor_data(node->outputs[0]);
    int64_t rows = tensor_rows(logits), Vp = tensor_columns(logits), V = attrs->V;
    real scale = (real)(attrs->scale * (double)step->loss_scale), cap = (real)attrs->softcap;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        bool is_column = targets[row] >= 0 && targets[row] < V;
        real *in = row_open(node, x + row * Vp, V);
        if (!is_column) {
            losses[row] = row_without_target(in, targets[row], V);
        } else if (cap > 0) {
            losses[row] = row_capped_loss(in, targets[row], V, cap, scale, attrs->gradient);
        } else {
            losses[row] = row_loss(in, targets[row], V, scale, attrs->gradient);
        }
        if (IS_NARROW && attrs->gradient) values_store(x + row * Vp, in, V);
        memset(x + row * Vp + V, 0, (size_t)(Vp - V) * sizeof *x);
    }
    return node->outputs[CROSS_ENTROPY_Q] == NULL ? OK : gradient_quantize(node);
}
