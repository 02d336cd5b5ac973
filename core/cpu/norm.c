/* One thread per row; a row stays in the cache between passes. */
#include "core/ops/norm.h"

#include "core/cpu/codes.h"
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

/* The tensors of forward. */
typedef struct Forward {
    const stored *x, *branch, *gamma, *beta; /* all but x: may be NULL */
    stored *y, *sums;                        /* y: NULL with codes */
    real *means, *rstds;
    Codes codes;
    int64_t C;
    NormOptions options;
} Forward;

enum { PIECE = 128 };

/* The codes of a row, which lies in memory one piece at a time. */
static void row_quantize(const Forward *f, int64_t row, const stored *s, real mean, real rstd,
                         Observation *seen) {
    stored y[PIECE];
    for (int64_t j = 0; j < f->C; j += PIECE) {
        int64_t n = f->C - j < PIECE ? f->C - j : PIECE;
        row_normalize(y, s + j, f->gamma == NULL ? NULL : f->gamma + j,
                      f->beta == NULL ? NULL : f->beta + j, mean, rstd, n);
        for (int64_t k = 0; k < n; k++) code_store(&f->codes, row, j + k, (float)load(y[k]), seen);
    }
}

static void row_forward(const Forward *f, int64_t row, Observation *seen) {
    const stored *s = f->x + row * f->C;
    if (f->branch != NULL) {
        stored *sum = f->sums + row * f->C;
        const stored *add = f->branch + row * f->C;
#pragma omp simd
        for (int64_t j = 0; j < f->C; j++) sum[j] = store(load(s[j]) + load(add[j]));
        s = sum;
    }
    real mean = 0;
    real rstd = f->options.kind == NORM_RMS ? rmsnorm_rstd(s, f->C, f->options.eps)
                                            : layernorm_rstd(s, f->C, f->options.eps, &mean);
    f->rstds[row] = rstd;
    if (f->means != NULL) f->means[row] = mean;
    if (f->y != NULL)
        row_normalize(f->y + row * f->C, s, f->gamma, f->beta, mean, rstd, f->C);
    else
        row_quantize(f, row, s, mean, rstd, seen);
}

Status KERNEL(norm)(const Node *node, void *stream) {
    (void)stream;
    const Tensor *x = node->inputs[0];
    int64_t rows = tensor_rows(x), C = tensor_columns(x);
    Forward f = {.x = tensor_data(x),
                 .branch = data_or_null(node->inputs[1]),
                 .gamma = data_or_null(node->inputs[2]),
                 .beta = data_or_null(node->inputs[3]),
                 .y = data_or_null(node->outputs[0]),
                 .sums = data_or_null(node->outputs[1]),
                 .means = data_or_null(node->outputs[2]),
                 .rstds = tensor_data(node->outputs[3]),
                 .codes = codes_open(node->outputs[NORM_Q], node->outputs[NORM_TRANSPOSED],
                                     node->inputs[NORM_SCALE], rows, C),
                 .C = C,
                 .options = ((const NormAttrs *)node->attrs)->options};
    uint32_t largest = 0, saturated = 0;
#pragma omp parallel for schedule(static) reduction(max : largest) reduction(+ : saturated)
    for (int64_t row = 0; row < rows; row++) {
        Observation seen = {largest, saturated};
        row_forward(&f, row, &seen);
        largest = seen.largest, saturated = seen.saturated;
    }
    observation_add(node->outputs[NORM_OBSERVED], (Observation){largest, saturated});
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
