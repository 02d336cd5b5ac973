/* One thread per row; a row stays in the cache between passes. */
#include "core/ops/layernorm.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(layernorm);
DECLARE_KERNELS(layernorm_backward);

static real row_mean(const real *x, int64_t C) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < C; j++) sum += x[j];
    return sum / (real)C;
}

static real row_variance(const real *x, real mean, int64_t C) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < C; j++) sum += (x[j] - mean) * (x[j] - mean);
    return sum / (real)C;
}

/* The same for rows whose squares overflow `real`. A non-finite element makes both results NaN. */
static real wide_rstd(const real *x, int64_t C, double eps, real *mean) {
    long double sum = 0, squares = 0;
    for (int64_t j = 0; j < C; j++) sum += (long double)x[j];
    long double center = sum / (long double)C;
    for (int64_t j = 0; j < C; j++)
        squares += ((long double)x[j] - center) * ((long double)x[j] - center);
    *mean = (real)center;
    return (real)(1 / sqrtl(squares / (long double)C + (long double)eps));
}

static real row_rstd(const real *x, int64_t C, double eps, real *mean) {
    *mean = row_mean(x, C);
    real variance = row_variance(x, *mean, C);
    return isfinite(variance) ? 1 / (real)sqrt((double)variance + eps) : wide_rstd(x, C, eps, mean);
}

Status KERNEL(layernorm)(const Node *node, void *stream) {
    (void)stream;
    const LayernormAttrs *attrs = node->attrs;
    const Tensor *x = node->inputs[0], *branch = node->inputs[1], *beta = node->inputs[3];
    const real *in = tensor_data(x), *gamma = tensor_data(node->inputs[2]);
    const real *add = branch == NULL ? NULL : tensor_data(branch),
               *shift = beta == NULL ? NULL : tensor_data(beta);
    real *y = tensor_data(node->outputs[0]),
         *sums = branch == NULL ? NULL : tensor_data(node->outputs[1]);
    real *means = tensor_data(node->outputs[2]), *rstds = tensor_data(node->outputs[3]);
    int64_t rows = tensor_rows(x), C = tensor_columns(x);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const real *s = in + row * C;
        if (add != NULL) {
            real *sum = sums + row * C;
#pragma omp simd
            for (int64_t j = 0; j < C; j++) sum[j] = s[j] + add[row * C + j];
            s = sum;
        }
        real mean, rstd = row_rstd(s, C, attrs->eps, &mean);
        means[row] = mean;
        rstds[row] = rstd;
#pragma omp simd
        for (int64_t j = 0; j < C; j++) {
            y[row * C + j] = (s[j] - mean) * rstd * gamma[j] + (shift == NULL ? 0 : shift[j]);
        }
    }
    return OK;
}

/* With n = (x - mean) rstd and g = dy gamma:  dx = rstd (g - mean(g) - n mean(g n)). */
static void row_backward(real *dx, const real *dy, const real *x, const real *gamma, real mean,
                         real rstd, int64_t C, bool accumulate) {
    real sum_g = 0, sum_gn = 0;
#pragma omp simd reduction(+ : sum_g, sum_gn)
    for (int64_t j = 0; j < C; j++) {
        real g = dy[j] * gamma[j];
        sum_g += g;
        sum_gn += g * (x[j] - mean) * rstd;
    }
    real mean_g = sum_g / (real)C, mean_gn = sum_gn / (real)C;
#pragma omp simd
    for (int64_t j = 0; j < C; j++) {
        real n = (x[j] - mean) * rstd;
        real d = rstd * (dy[j] * gamma[j] - mean_g - n * mean_gn);
        dx[j] = accumulate ? dx[j] + d : d;
    }
}

/* One part of the rows: dx, and partial sums of dgamma and dbeta. */
static void part_backward(const Node *node, int64_t first, int64_t end, real *dgamma, real *dbeta) {
    const LayernormAttrs *attrs = node->attrs;
    int64_t C = tensor_columns(node->inputs[0]);
    const real *dy = tensor_data(node->inputs[0]), *x = tensor_data(node->inputs[1]);
    const real *gamma = tensor_data(node->inputs[2]), *means = tensor_data(node->inputs[3]);
    const real *rstds = tensor_data(node->inputs[4]);
    real *dx = node->outputs[0] == NULL ? NULL : tensor_data(node->outputs[0]);
    for (int64_t row = first; row < end; row++) {
        const real *d = dy + row * C, *in = x + row * C;
        real mean = means[row], rstd = rstds[row];
#pragma omp simd
        for (int64_t j = 0; j < C; j++) {
            dgamma[j] += d[j] * (in[j] - mean) * rstd;
            dbeta[j] += d[j];
        }
        if (dx != NULL) row_backward(dx + row * C, d, in, gamma, mean, rstd, C, attrs->accumulate);
    }
}

static void parts_sum(const Tensor *out, const real *parts, int64_t C, bool accumulate) {
    if (out == NULL) return;
    real *sum = tensor_data(out);
    if (!accumulate) memset(sum, 0, (size_t)C * sizeof *sum);
    for (int64_t part = 0; part < LAYERNORM_PARTS; part++) {
#pragma omp simd
        for (int64_t j = 0; j < C; j++) sum[j] += parts[2 * part * C + j];
    }
}

Status KERNEL(layernorm_backward)(const Node *node, void *stream) {
    (void)stream;
    const LayernormAttrs *attrs = node->attrs;
    int64_t rows = tensor_rows(node->inputs[0]), C = tensor_columns(node->inputs[0]);
    real *parts = tensor_data(node->workspace);
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < LAYERNORM_PARTS; part++) {
        int64_t first, end;
        range_part(rows, LAYERNORM_PARTS, part, &first, &end);
        real *dgamma = parts + 2 * part * C;
        memset(dgamma, 0, 2 * (size_t)C * sizeof *dgamma);
        part_backward(node, first, end, dgamma, dgamma + C);
    }
    parts_sum(node->outputs[1], parts, C, attrs->accumulate_gamma);
    parts_sum(node->outputs[2], parts + C, C, attrs->accumulate_beta);
    return OK;
}
