/* One thread per row; a row stays in the cache between passes. */
#include "core/ops/norm.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(norm);
DECLARE_KERNELS(norm_backward);

static void *data_or_null(const Tensor *t) { return t == NULL ? NULL : tensor_data(t); }

static real row_mean(const stored *x, int64_t C) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < C; j++) sum += load(x[j]);
    return sum / (real)C;
}

static real row_variance(const stored *x, real mean, int64_t C) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < C; j++) sum += (load(x[j]) - mean) * (load(x[j]) - mean);
    return sum / (real)C;
}

/* The same for rows whose squares overflow `real`. A non-finite element makes both results NaN. */
static real wide_rstd(const stored *x, int64_t C, double eps, real *mean) {
    long double sum = 0, squares = 0;
    for (int64_t j = 0; j < C; j++) sum += (long double)load(x[j]);
    long double center = sum / (long double)C;
    for (int64_t j = 0; j < C; j++)
        squares += ((long double)load(x[j]) - center) * ((long double)load(x[j]) - center);
    *mean = (real)center;
    return (real)(1 / sqrtl(squares / (long double)C + (long double)eps));
}

static real layernorm_rstd(const stored *x, int64_t C, double eps, real *mean) {
    *mean = row_mean(x, C);
    real variance = row_variance(x, *mean, C);
    return isfinite(variance) ? 1 / (real)sqrt((double)variance + eps) : wide_rstd(x, C, eps, mean);
}

/* The mean counts as 0. */
static real rmsnorm_rstd(const stored *x, int64_t C, double eps) {
    real squares = row_variance(x, 0, C);
    if (isfinite(squares)) return 1 / (real)sqrt((double)squares + eps);
    long double wide = 0;
    for (int64_t j = 0; j < C; j++) wide += (long double)load(x[j]) * (long double)load(x[j]);
    return isfinite(wide) ? (real)(1 / sqrtl(wide / (long double)C + (long double)eps)) : (real)NAN;
}

static void row_normalize(stored *y, const stored *s, const stored *gamma, const stored *beta,
                          real mean, real rstd, int64_t C) {
#pragma omp simd
    for (int64_t j = 0; j < C; j++) {
        y[j] = store((load(s[j]) - mean) * rstd * (gamma == NULL ? 1 : load(gamma[j])) +
                     (beta == NULL ? 0 : load(beta[j])));
    }
}

Status KERNEL(norm)(const Node *node, void *stream) {
    (void)stream;
    NormOptions options = ((const NormAttrs *)node->attrs)->options;
    const Tensor *x = node->inputs[0];
    const stored *in = tensor_data(x), *add = data_or_null(node->inputs[1]);
    const stored *gamma = data_or_null(node->inputs[2]), *beta = data_or_null(node->inputs[3]);
    stored *y = tensor_data(node->outputs[0]), *sums = data_or_null(node->outputs[1]);
    real *means = data_or_null(node->outputs[2]), *rstds = tensor_data(node->outputs[3]);
    int64_t rows = tensor_rows(x), C = tensor_columns(x);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const stored *s = in + row * C;
        if (add != NULL) {
            stored *sum = sums + row * C;
#pragma omp simd
            for (int64_t j = 0; j < C; j++) sum[j] = store(load(s[j]) + load(add[row * C + j]));
            s = sum;
        }
        real mean = 0;
        rstds[row] = options.kind == NORM_RMS ? rmsnorm_rstd(s, C, options.eps)
                                              : layernorm_rstd(s, C, options.eps, &mean);
        if (means != NULL) means[row] = mean;
        row_normalize(y + row * C, s, gamma, beta, mean, rstds[row], C);
    }
    return OK;
}

/* The tensors of backward. */
typedef struct Backward {
    const stored *dy, *x, *gamma;
    const real *means, *rstds; /* gamma, means: may be NULL */
    stored *dx;                /* may be NULL */
    int64_t C;
    bool accumulate;
} Backward;

/* With n = (x - mean) rstd and g = dy gamma:  dx = rstd (g - mean(g) - n mean(g n)), without
 * mean(g) for rmsnorm. Inlined with a constant NULL, so that the loops vectorize. */
static inline void row_backward(const Backward *b, int64_t row, const stored *gamma) {
    int64_t C = b->C;
    const stored *dy = b->dy + row * C, *x = b->x + row * C;
    stored *dx = b->dx + row * C;
    real mean = b->means == NULL ? 0 : b->means[row], rstd = b->rstds[row];
    real sum_g = 0, sum_gn = 0;
#pragma omp simd reduction(+ : sum_g, sum_gn)
    for (int64_t j = 0; j < C; j++) {
        real g = load(dy[j]) * (gamma == NULL ? 1 : load(gamma[j]));
        sum_g += g;
        sum_gn += g * (load(x[j]) - mean) * rstd;
    }
    real mean_g = b->means == NULL ? 0 : sum_g / (real)C, mean_gn = sum_gn / (real)C;
    bool accumulate = b->accumulate;
#pragma omp simd
    for (int64_t j = 0; j < C; j++) {
        real n = (load(x[j]) - mean) * rstd;
        real g = load(dy[j]) * (gamma == NULL ? 1 : load(gamma[j]));
        real d = rstd * (g - mean_g - n * mean_gn);
        dx[j] = store(accumulate ? load(dx[j]) + d : d);
    }
}

/* Adds a row to the partial sums of dgamma and dbeta (NULL: without a mean). */
static void row_parts(const Backward *b, int64_t row, real *dgamma, real *dbeta) {
    const stored *dy = b->dy + row * b->C, *x = b->x + row * b->C;
    real mean = b->means == NULL ? 0 : b->means[row], rstd = b->rstds[row];
#pragma omp simd
    for (int64_t j = 0; j < b->C; j++) dgamma[j] += load(dy[j]) * (load(x[j]) - mean) * rstd;
    if (dbeta == NULL) return;
#pragma omp simd
    for (int64_t j = 0; j < b->C; j++) dbeta[j] += load(dy[j]);
}

static void parts_sum(const Tensor *out, const real *parts, int64_t stride, int64_t C,
                      bool accumulate) {
    if (out == NULL) return;
    real *sum = tensor_data(out);
    if (!accumulate) memset(sum, 0, (size_t)C * sizeof *sum);
    for (int64_t part = 0; part < NORM_PARTS; part++) {
#pragma omp simd
        for (int64_t j = 0; j < C; j++) sum[j] += parts[part * stride + j];
    }
}

Status KERNEL(norm_backward)(const Node *node, void *stream) {
    (void)stream;
    const NormAttrs *attrs = node->attrs;
    int64_t rows = tensor_rows(node->inputs[0]), C = tensor_columns(node->inputs[0]);
    Backward b = {.dy = tensor_data(node->inputs[0]),
                  .x = tensor_data(node->inputs[1]),
                  .gamma = data_or_null(node->inputs[2]),
                  .means = data_or_null(node->inputs[3]),
                  .rstds = tensor_data(node->inputs[4]),
                  .dx = data_or_null(node->outputs[0]),
                  .C = C,
                  .accumulate = attrs->accumulate};
    real *parts = data_or_null(node->workspace);
    int64_t stride = b.means == NULL ? C : 2 * C;
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < NORM_PARTS; part++) {
        int64_t first, end;
        range_part(rows, NORM_PARTS, part, &first, &end);
        real *dgamma = parts == NULL ? NULL : parts + part * stride;
        if (dgamma != NULL) memset(dgamma, 0, (size_t)stride * sizeof *dgamma);
        for (int64_t row = first; row < end; row++) {
            if (dgamma != NULL) row_parts(&b, row, dgamma, b.means == NULL ? NULL : dgamma + C);
            if (b.dx != NULL && b.gamma == NULL) row_backward(&b, row, NULL);
            if (b.dx != NULL && b.gamma != NULL) row_backward(&b, row, b.gamma);
        }
    }
    parts_sum(node->outputs[1], parts, stride, C, attrs->accumulate_gamma);
    parts_sum(node->outputs[2], parts == NULL ? NULL : parts + C, stride, C,
              attrs->accumulate_beta);
    return OK;
}
