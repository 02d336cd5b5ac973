#include "tests/core/op_edges_helper.h"

#include "core/autodiff.h"
#include "core/ops/adamw.h"
#include "core/ops/embedding.h"
#include "core/ops/gated.h"
#include "core/ops/gelu.h"
#include "core/ops/norm.h"
#include "core/ops/reduce.h"
#include "core/ops/relu2.h"
#include "tests/core/edge_helper.h"

enum { FAR = 2000000000 }; /* a token far outside every table */

/* Half of a row's elements are `size`, the others -size / 2; `one` replaces one element unless it
 * is 0. */
typedef struct NormRow {
    double size, one;
} NormRow;

static const NormRow norm_rows[] = {{1, 0},    {6e4, 0},      {1e16, 0},        {1e18, 0},
                                    {2e19, 0}, {1e25, 0},     {1e30, 0},        {3e38, 0},
                                    {1, NAN},  {1, INFINITY}, {1e30, -INFINITY}};

enum { NORM_ROWS = COUNT(norm_rows) };

static double norm_value(const NormRow *row, int64_t j, DType dtype) {
    double size = dtype == DTYPE_F16 && row->size > 6e4 ? 6e4 : row->size;
    if (dtype == DTYPE_F64 && size > 1e20)
        size *= size / 1e30; /* up to 1e47 and 9e46: squares stay finite */
    if (dtype == DTYPE_F64 && row->size == 3e38) size = 1e300;
    return j == 5 && row->one != 0 ? row->one : edge_rounded(j % 2 == 0 ? size : -size / 2, dtype);
}

static void norm_check(const double *y, int64_t C, NormKind kind, DType dtype) {
    for (int64_t i = 0; i < NORM_ROWS; i++) {
        long double mean = 0, variance = 0;
        for (int64_t j = 0; j < C && kind == NORM_LAYER; j++)
            mean += norm_value(&norm_rows[i], j, dtype) / (long double)C;
        for (int64_t j = 0; j < C; j++) {
            long double off = norm_value(&norm_rows[i], j, dtype) - mean;
            variance += off * off / (long double)C;
        }
        bool good = true;
        for (int64_t j = 0; j < C; j++) {
            long double off = norm_value(&norm_rows[i], j, dtype) - mean;
            double wanted = (double)(off / sqrtl(variance + 1e-5L)), found = y[i * C + j];
            good &= norm_rows[i].one != 0
                        ? isnan(found)
                        : fabs(found - wanted) <= (edge_is_half(dtype) ? 1e-2 : 1e-4);
        }
        edge_check(good, kind == NORM_LAYER ? "layernorm" : "rmsnorm", dtype, i, y[i * C]);
    }
}

static void norm_of(Device *device, DType dtype, int64_t C, NormKind kind, bool has_branch) {
    Edge e;
    if (!edge_begin(&e, device, dtype)) return;
    Tensor *x = edge_tensor(&e, e.tested, SHAPE(NORM_ROWS, C)),
           *gamma = edge_tensor(&e, e.tested, SHAPE(C)), *sum = NULL;
    Tensor *branch = has_branch ? edge_tensor(&e, e.tested, SHAPE(NORM_ROWS, C)) : NULL;
    Tensor *y = norm_record(e.program, x, branch, gamma, NULL, (NormOptions){kind, 1e-5}, &sum);
    if (edge_ready(&e)) {
        double *values = malloc((size_t)(NORM_ROWS * C) * sizeof *values),
               *ones = malloc((size_t)C * sizeof *ones);
        for (int64_t j = 0; j < C; j++) ones[j] = 1;
        for (int64_t i = 0; i < NORM_ROWS * C; i++)
            values[i] = norm_value(&norm_rows[i / C], i % C, dtype);
        edge_write(&e, x, values);
        edge_write(&e, gamma, ones);
        double *found = edge_run(&e, y);
        norm_check(found, C, kind, dtype);
        free(values);
        free(ones);
        free(found);
    }
    edge_end(&e);
}

void edges_of_norm(Device *device, DType dtype) {
    static const int64_t columns[] = {64, 768, 34, 4104};
    for (size_t i = 0; i < COUNT(columns); i++) {
        for (int branch = 0; branch < 2; branch++) {
            norm_of(device, dtype, columns[i], NORM_LAYER, branch);
            norm_of(device, dtype, columns[i], NORM_RMS, branch);
        }
    }
}

static const double far_sizes[] = {20, 1e4, 6e4, 1e6, 1e10, 1e13, 1e19, 2e19, 1e30, 3e38};

/* Each size with both signs, then NaN. */
enum { FAR_ARGUMENTS = 2 * COUNT(far_sizes) + 2 };

static double far_argument(int i, DType dtype) {
    double size = i < FAR_ARGUMENTS - 2 ? far_sizes[i / 2] : NAN;
    return copysign(dtype == DTYPE_F16 && size > 6e4 ? 6e4 : size, i % 2 == 0 ? 1 : -1);
}

void edges_of_gelu(Device *device, DType dtype) {
    enum { N = FAR_ARGUMENTS };
    double x[N], ones[N];
    Edge e;
    if (!edge_begin(&e, device, dtype)) return;
    Tensor *pre = edge_tensor(&e, e.tested, SHAPE(N)), *d = edge_tensor(&e, e.tested, SHAPE(N));
    Tensor *y = gelu_record(e.program, pre);
    gelu_backward_record(e.program, d, pre);
    if (edge_ready(&e)) {
        for (int i = 0; i < N; i++) {
            x[i] = far_argument(i, dtype);
            ones[i] = 1;
        }
        edge_write(&e, pre, x);
        edge_write(&e, d, ones);
        double *value = edge_run(&e, y), *slope = edge_read(&e, d);
        for (int i = 0; i < N; i++) {
            double sign = i % 2 == 0, wanted = sign * edge_rounded(x[i], dtype);
            edge_check(isnan(x[i]) ? isnan(value[i]) : fabs(value[i] - wanted) <= 1e-200, "gelu",
                       dtype, i, value[i]);
            edge_check(isnan(x[i]) ? isnan(slope[i]) : fabs(slope[i] - sign) <= 1e-200,
                       "gelu's derivative", dtype, i, slope[i]);
        }
        free(value);
        free(slope);
    }
    edge_end(&e);
}

/* Row i has far_argument(i) in its F gates. Beside a closed gate the other factor is as large; else
 * it is 1. */
static double gated_value(int64_t i, int64_t F, DType dtype) {
    double x = far_argument((int)(i / (2 * F)), dtype);
    return i % (2 * F) < F ? x : x < 0 ? -x : 1;
}

/* Far out, act(x) is x or 0 and its derivative 1 or 0; at 20 a SiLU is not far out. */
static void gated_check(const double *y, const double *dpair, int64_t F, GatedKind kind,
                        DType dtype) {
    for (int row = 2; row < FAR_ARGUMENTS; row++) {
        double x = far_argument(row, dtype), act = fmax(edge_rounded(x, dtype), 0);
        for (int64_t j = 0; j < F; j++) {
            const double *d = dpair + row * 2 * F + j;
            double found[] = {y[row * F + j], d[0], d[F]}, wanted[] = {act, x > 0, act};
            for (int k = 0; k < 3; k++)
                edge_check(isnan(x) ? isnan(found[k]) : fabs(found[k] - wanted[k]) <= 1e-200,
                           kind == GATED_SILU ? "swiglu" : "geglu", dtype, row, found[k]);
        }
    }
}

static void gated_of(Device *device, DType dtype, GatedKind kind, int64_t F) {
    enum { MOST = 32 };
    static double values[FAR_ARGUMENTS * 2 * MOST], ones[FAR_ARGUMENTS * MOST];
    Edge e;
    if (!edge_begin(&e, device, dtype)) return;
    Tensor *pair = edge_tensor(&e, e.tested, SHAPE(FAR_ARGUMENTS, 2 * F));
    Tensor *dpair = edge_tensor(&e, e.tested, SHAPE(FAR_ARGUMENTS, 2 * F));
    Tensor *dy = edge_tensor(&e, e.tested, SHAPE(FAR_ARGUMENTS, F));
    pair->needs_grad = true;
    autodiff_watch(e.program, pair, dpair, false);
    Tensor *y = gated_record(e.program, pair, kind);
    autodiff_watch(e.program, y, dy, true);
    autodiff_run(e.program);
    if (edge_ready(&e)) {
        for (int64_t i = 0; i < FAR_ARGUMENTS * 2 * F; i++) values[i] = gated_value(i, F, dtype);
        for (int64_t i = 0; i < FAR_ARGUMENTS * F; i++) ones[i] = 1;
        edge_write(&e, pair, values);
        edge_write(&e, dy, ones);
        double *value = edge_run(&e, y), *slope = edge_read(&e, dpair);
        gated_check(value, slope, F, kind, dtype);
        free(value);
        free(slope);
    }
    edge_end(&e);
}

void edges_of_gated(Device *device, DType dtype) {
    for (int64_t F = 1; F <= 32; F += 31) {
        gated_of(device, dtype, GATED_SILU, F);
        gated_of(device, dtype, GATED_GELU, F);
    }
}

/* The square is right or, where it overflows, infinite; the derivative is right if the square is
 * finite. */
void edges_of_relu2(Device *device, DType dtype) {
    enum { N = FAR_ARGUMENTS };
    double x[N], ones[N];
    Edge e;
    if (!edge_begin(&e, device, dtype)) return;
    Tensor *in = edge_tensor(&e, e.tested, SHAPE(N)), *dx = edge_tensor(&e, e.tested, SHAPE(N));
    in->needs_grad = true;
    autodiff_watch(e.program, in, dx, false);
    Tensor *y = relu2_record(e.program, in), *dy = edge_tensor(&e, e.tested, SHAPE(N));
    autodiff_watch(e.program, y, dy, true);
    autodiff_run(e.program);
    if (edge_ready(&e)) {
        for (int i = 0; i < N; i++) x[i] = far_argument(i, dtype), ones[i] = 1;
        edge_write(&e, in, x);
        edge_write(&e, dy, ones);
        double *value = edge_run(&e, y), *slope = edge_read(&e, dx);
        for (int i = 0; i < N; i++) {
            double positive = fmax(edge_rounded(x[i], dtype), 0),
                   square = edge_rounded(positive * positive, dtype),
                   tolerance = edge_is_half(dtype) ? 1e-2 : 1e-6;
            edge_check(isnan(x[i])     ? isnan(value[i])
                       : isinf(square) ? isinf(value[i])
                                       : edge_is_close(value[i], square, tolerance),
                       "relu2", dtype, i, value[i]);
            edge_check(isnan(x[i])     ? isnan(slope[i])
                       : isinf(square) ? isinf(slope[i])
                                       : edge_is_close(slope[i], 2 * positive, tolerance),
                       "relu2's derivative", dtype, i, slope[i]);
        }
        free(value);
        free(slope);
    }
    edge_end(&e);
}

enum { EMBEDDED = 8, EMBEDDING_ROWS = 5, EMBEDDING_WIDTH = 16 };
static const int32_t embedded[EMBEDDED] = {0, 4, -1, EMBEDDING_ROWS, 4, FAR, -FAR, 2};

static void embedding_forward_of(Device *device, DType dtype, bool has_positions) {
    enum { T = EMBEDDED, V = EMBEDDING_ROWS, C = EMBEDDING_WIDTH };
    double table[V * C], zeros[T * C] = {0};
    Edge e;
    if (!edge_begin(&e, device, dtype)) return;
    Tensor *wte = edge_tensor(&e, e.tested, SHAPE(V, C)),
           *wpe = has_positions ? edge_tensor(&e, e.tested, SHAPE(T, C)) : NULL;
    Tensor *ids = edge_tensor(&e, e.integers, SHAPE(1, T)),
           *x = embedding_record(e.program, ids, wte, wpe);
    if (edge_ready(&e)) {
        for (int i = 0; i < V * C; i++) table[i] = i / C;
        edge_write(&e, wte, table);
        if (has_positions) edge_write(&e, wpe, zeros);
        CHECK_OK(device_upload(device, ids, embedded));
        double *found = edge_run(&e, x);
        for (int t = 0; t < T; t++) {
            bool is_row = embedded[t] >= 0 && embedded[t] < V;
            edge_check(is_row ? found[t * C] == embedded[t] : isnan(found[t * C]), "embedding",
                       dtype, t, found[t * C]);
        }
        free(found);
    }
    edge_end(&e);
}

static void embedding_gradient_of(Device *device, DType dtype) {
    enum { T = EMBEDDED, V = EMBEDDING_ROWS, C = EMBEDDING_WIDTH };
    static const int32_t counts[V] = {1, 0, 1, 0, 2};
    double ones[T * C];
    Edge e;
    if (!edge_begin(&e, device, dtype)) return;
    Tensor *wte = edge_tensor(&e, e.tested, SHAPE(V, C)),
           *wpe = edge_tensor(&e, e.tested, SHAPE(T, C));
    Tensor *dx = edge_tensor(&e, e.tested, SHAPE(1, T, C)),
           *ids = edge_tensor(&e, e.integers, SHAPE(1, T));
    Tensor *dwte = edge_tensor(&e, e.wide, SHAPE(V, C)),
           *dwpe = edge_tensor(&e, e.wide, SHAPE(T, C));
    wte->needs_grad = wpe->needs_grad = true;
    autodiff_watch(e.program, wte, dwte, false);
    autodiff_watch(e.program, wpe, dwpe, false);
    embedding_gradient_record(e.program, dx, ids, NULL, wte, wpe);
    if (edge_ready(&e)) {
        for (int i = 0; i < T * C; i++) ones[i] = 1;
        edge_write(&e, dx, ones);
        CHECK_OK(device_upload(device, ids, embedded));
        double *gradient = edge_run(&e, dwte);
        for (int v = 0; v < V; v++)
            edge_check(gradient[v * C] == counts[v], "gradient of wte", dtype, v, gradient[v * C]);
        free(gradient);
    }
    edge_end(&e);
}

void edges_of_embedding(Device *device, DType dtype) {
    embedding_forward_of(device, dtype, true);
    embedding_forward_of(device, dtype, false);
    embedding_gradient_of(device, dtype);
}

enum { WEIGHTS = 60, UPDATES = 20 };

/* The gradient of element i in a step. */
static double adamw_gradient(int step, int i, double size) {
    return size * (1 + (i + 3 * step) % 5) * (i % 2 == 0 ? 1 : -1);
}

/* The weight after UPDATES steps from 0, in long double, from f32 gradients without clipping. */
static double adamw_exact(AdamwAttrs attrs, int i, double size, double lr, double gradient_scale) {
    long double w = 0, m = 0, v = 0, b1 = attrs.beta1, b2 = attrs.beta2;
    for (int step = 0; step < UPDATES; step++) {
        long double g = adamw_gradient(step, i, size) * gradient_scale;
        m = b1 * m + (1 - b1) * g;
        v = b2 * v + (1 - b2) * g * g;
        long double c1 = -expm1l((step + 1) * log1pl(b1 - 1)),
                    c2 = -expm1l((step + 1) * log1pl(b2 - 1));
        w -= lr * (m / c1) / (sqrtl(v / c2) + attrs.eps);
    }
    return (double)w;
}

static void adamw_of(Device *device, DType dtype, AdamwAttrs attrs, double size,
                     double gradient_scale) {
    Edge e;
    if (!edge_begin(&e, device, edge_wide(dtype))) return;
    Tensor *grad = edge_tensor(&e, e.wide, SHAPE(WEIGHTS)),
           *norm = edge_tensor(&e, e.wide, SHAPE(1)), *state = edge_step(&e);
    Tensor *w = edge_tensor(&e, e.wide, SHAPE(WEIGHTS)),
           *m = edge_tensor(&e, e.wide, SHAPE(WEIGHTS));
    Tensor *v = edge_tensor(&e, e.wide, SHAPE(WEIGHTS));
    l2_norm_of_record(e.program, norm, grad);
    adamw_record(
        e.program, attrs,
        (AdamwTensors){.grad = grad, .norm = norm, .step = state, .weight = w, .m = m, .v = v});
    bool is_ready = edge_ready(&e);
    for (int step = 0; step < UPDATES && is_ready; step++) {
        StepState now = {.adam_step = step + 1, .lr = 0.01f, .loss_scale = 1};
        double values[WEIGHTS];
        for (int i = 0; i < WEIGHTS; i++) values[i] = adamw_gradient(step, i, size);
        edge_write(&e, grad, values);
        CHECK_OK(device_upload(device, state, &now));
        CHECK_OK(device_replay(device, e.program));
    }
    double *found = is_ready ? edge_read(&e, w) : NULL;
    for (int i = 0; i < WEIGHTS && is_ready; i++) {
        double wanted = adamw_exact(attrs, i, size, 0.01f, gradient_scale);
        edge_check(edge_is_close(found[i], wanted, 1e-3), "a weight after adamw", edge_wide(dtype),
                   i, found[i] / wanted);
    }
    free(found);
    edge_end(&e);
}

static void adamw_refused(Device *device, AdamwAttrs attrs, const char *why) {
    Edge e;
    if (!edge_begin(&e, device, DTYPE_F32)) return;
    Tensor *t = edge_tensor(&e, e.wide, SHAPE(1)), *state = edge_step(&e);
    adamw_record(e.program, attrs,
                 (AdamwTensors){.grad = t, .norm = t, .step = state, .weight = t, .m = t, .v = t});
    CHECK_ERROR(program_status(e.program), STATUS_CONFIG, why);
    edge_end(&e);
}

void edges_of_adamw(Device *device, DType dtype) {
    adamw_of(device, dtype, (AdamwAttrs){.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .lr_scale = 1},
             1, 1);
    adamw_of(device, dtype,
             (AdamwAttrs){.beta1 = 0.9, .beta2 = 0.99999999, .eps = 1e-8, .lr_scale = 1}, 1, 1);
    adamw_of(
        device, dtype,
        (AdamwAttrs){.beta1 = 0.9999999999, .beta2 = 0.99999999999, .eps = 1e-8, .lr_scale = 1}, 1,
        1);
    adamw_of(device, dtype, (AdamwAttrs){.beta1 = 0, .beta2 = 0, .eps = 1e-8, .lr_scale = 1}, 1, 1);
    /* clipped to ADAMW_MOST_NORM, which scales all elements and steps equally, so AdamW's result
     * does not change */
    adamw_of(device, dtype, (AdamwAttrs){.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .lr_scale = 1},
             1e25, 1e-10);
    adamw_refused(device, (AdamwAttrs){.beta1 = 0.9, .beta2 = 0.95, .eps = 0, .lr_scale = 1},
                  "eps 0 at least");
    adamw_refused(device, (AdamwAttrs){.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-40, .lr_scale = 1},
                  "eps 1e-40 at least");
    adamw_refused(device, (AdamwAttrs){.beta1 = 1, .beta2 = 0.95, .eps = 1e-8, .lr_scale = 1},
                  "betas 1 and 0.95");
    adamw_refused(device, (AdamwAttrs){.beta1 = 0.9, .beta2 = NAN, .eps = 1e-8, .lr_scale = 1},
                  "betas 0.9 and nan");
}
