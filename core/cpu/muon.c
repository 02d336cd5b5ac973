/* One matrix after the other; OpenBLAS computes the products. A and A^2 are symmetric: syrk
 * computes one half of them, which is then mirrored. Sums over a matrix are sums of its rows, added
 * in order in f64, so the result does not depend on the number of threads. */
#include "core/ops/muon.h"

#include "core/cpu/real.h"
#include "core/ops/adamw.h"

DECLARE_KERNELS(muon);

typedef struct MuonUpdate {
    const MuonAttrs *attrs;
    real mu, rest, gradient_scale, lr, decay, beta2, rest2;
} MuonUpdate;

/* A matrix and its memory. */
typedef struct MuonViews {
    int64_t rows, columns, r, k; /* r <= k: the sides of x */
    const real *grad;
    real *w, *momentum, *row_moments; /* row_moments: NULL without NorMuon */
    stored *half;                     /* the weights in 16 bits, of which w are the masters */
    double *sums;                     /* (rows) */
    real *x, *y, *a, *b;
} MuonViews;

static MuonUpdate update_of(const MuonAttrs *attrs, const StepState *step, double norm) {
    double mu = muon_momentum(attrs, step->adam_step);
    return (MuonUpdate){
        .attrs = attrs,
        .mu = (real)mu,
        .rest = (real)(1 - mu),
        .gradient_scale = (real)adamw_gradient_scale(0, (double)step->loss_scale, norm),
        .lr = (real)step->lr * (real)attrs->lr_scale,
        .decay = (real)attrs->weight_decay,
        .beta2 = (real)attrs->beta2,
        .rest2 = (real)(1 - attrs->beta2),
    };
}

static MuonViews views_of(const Node *node, const MuonMatrix *m, MuonMost most) {
    const Tensor *weight = node->outputs[0], *master = node->outputs[1],
                 *moments = node->outputs[3];
    int64_t r = muon_side(m);
    MuonViews v = {.rows = m->rows, .columns = m->columns, .r = r, .k = muon_long_side(m)};
    v.grad = (const real *)tensor_data(node->inputs[0]) + m->first;
    v.w = master != NULL ? (real *)tensor_data(master) + m->master
                         : (real *)tensor_data(weight) + m->first;
    v.half = master != NULL ? (stored *)tensor_data(weight) + m->first : NULL;
    v.momentum = (real *)tensor_data(node->outputs[2]) + m->momentum;
    v.row_moments = moments == NULL ? NULL : (real *)tensor_data(moments) + m->row;
    v.sums = tensor_data(node->workspace);
    v.x = (real *)(v.sums + most.rows);
    v.y = v.x + most.elements;
    v.a = v.y + most.elements;
    v.b = v.a + most.side * most.side;
    return v;
}

static void swap(MuonViews *v) {
    real *x = v->x;
    v->x = v->y;
    v->y = x;
}

static double sum_of(const double *values, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += values[i];
    return sum;
}

/* m <- mu m + (1 - mu) g; y <- u; sums <- the squares of u's rows. */
static void momentum_update(const MuonUpdate *u, const MuonViews *v) {
    bool nesterov = u->attrs->nesterov;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < v->rows; row++) {
        int64_t first = row * v->columns;
        double sum = 0;
        for (int64_t i = first; i < first + v->columns; i++) {
            real g = v->grad[i] * u->gradient_scale, m = u->mu * v->momentum[i] + u->rest * g;
            v->momentum[i] = m;
            v->y[i] = nesterov ? u->mu * m + u->rest * g : m;
            sum += (double)v->y[i] * (double)v->y[i];
        }
        v->sums[row] = sum;
    }
}

/* out (columns, rows) <- scale x^T, x (rows, columns). */
static void transpose(real *out, const real *x, int64_t rows, int64_t columns, real scale) {
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < columns; j++) {
        for (int64_t i = 0; i < rows; i++) out[j * rows + i] = scale * x[i * columns + j];
    }
}

/* x <- y / (s |y| + eps), as (r, k). */
static void normalize(const MuonUpdate *u, const MuonViews *v) {
    double norm = sqrt(sum_of(v->sums, v->rows));
    real scale = (real)(1 / (muon_norm_factor(u->attrs->iteration) * norm + MUON_NORM_EPS));
    if (v->rows > v->columns) {
        transpose(v->x, v->y, v->rows, v->columns, scale);
        return;
    }
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < v->rows * v->columns; i++) v->x[i] = scale * v->y[i];
}

/* The upper triangle from the lower one. */
static void mirror(real *a, int64_t n) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = i + 1; j < n; j++) a[i * n + j] = a[j * n + i];
    }
}

/* x <- a x + (b x x^T + c (x x^T)^2) x. */
static void iterate(const MuonUpdate *u, MuonViews *v) {
    int r = (int)v->r, k = (int)v->k;
    for (int i = 0; i < MUON_ITERATIONS; i++) {
        MuonCoefficients c = muon_coefficients(u->attrs->iteration, i);
        BLAS(syrk)(CblasRowMajor, CblasLower, CblasNoTrans, r, k, 1, v->x, k, 0, v->a, r);
        mirror(v->a, r);
        memcpy(v->b, v->a, (size_t)(v->r * v->r) * sizeof *v->b);
        BLAS(syrk)
        (CblasRowMajor, CblasLower, CblasNoTrans, r, r, (real)c.c, v->a, r, (real)c.b, v->b, r);
        mirror(v->b, r);
        memcpy(v->y, v->x, (size_t)(v->r * v->k) * sizeof *v->y);
        BLAS(gemm)
        (CblasRowMajor, CblasNoTrans, CblasNoTrans, r, k, r, 1, v->b, r, v->x, k, (real)c.a, v->y,
         k);
        swap(v);
    }
}

/* v <- beta2 v + (1 - beta2) mean(x^2) of a row; x <- x / (sqrt(v) + eps), at its old norm. */
static void rows_normalize(const MuonUpdate *u, const MuonViews *v) {
    double before = 0, after = 0;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < v->rows; row++) {
        const real *x = v->x + row * v->columns;
        double sum = 0;
        for (int64_t j = 0; j < v->columns; j++) sum += (double)x[j] * (double)x[j];
        v->sums[row] = sum;
    }
    for (int64_t row = 0; row < v->rows; row++) {
        real *moment = &v->row_moments[row];
        *moment = u->beta2 * *moment + u->rest2 * (real)(v->sums[row] / (double)v->columns);
        double factor = 1 / (sqrt((double)*moment) + MUON_ROW_EPS);
        before += v->sums[row];
        after += v->sums[row] * factor * factor;
    }
    double scale = after > 0 ? sqrt(before / after) : 0;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < v->rows; row++) {
        real factor = (real)(scale / (sqrt((double)v->row_moments[row]) + MUON_ROW_EPS));
        for (int64_t j = 0; j < v->columns; j++) v->x[row * v->columns + j] *= factor;
    }
}

static void weights_update(const MuonUpdate *u, const MuonViews *v, real scale) {
    bool cautious = u->attrs->cautious;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < v->rows * v->columns; i++) {
        real x = v->x[i], decay = cautious && x * v->w[i] < 0 ? 0 : u->decay;
        v->w[i] -= u->lr * (scale * x + decay * v->w[i]);
        if (v->half != NULL) v->half[i] = store(v->w[i]);
    }
}

static void matrix_update(const Node *node, const MuonUpdate *u, const MuonMatrix *m,
                          MuonMost most) {
    MuonViews v = views_of(node, m, most);
    momentum_update(u, &v);
    normalize(u, &v);
    iterate(u, &v);
    if (v.rows > v.columns) {
        transpose(v.y, v.x, v.columns, v.rows, 1);
        swap(&v);
    }
    if (v.row_moments != NULL) rows_normalize(u, &v);
    weights_update(u, &v, (real)muon_shape_scale(m));
}

/* Records the first non-finite gradient of a matrix. */
static void first_nonfinite_keep(const Node *node, const MuonMatrix *m, const StepState *step) {
    const Tensor *grad = node->inputs[0];
    const real *values = (const real *)tensor_data(grad) + m->first;
    int64_t i = 0, count = m->rows * m->columns, *kept = tensor_data(node->outputs[4]);
    while (i < count && isfinite(values[i])) i++;
    if (i == count) return;
    int64_t element = (int64_t)(grad->offset / sizeof(real)) + m->first + i,
            found = adamw_first_nonfinite(step->step, element);
    if (found > *kept) *kept = found;
}

Status KERNEL(muon)(const Node *node, void *stream) {
    (void)stream;
    const MuonWork *work = node->attrs;
    const StepState *step = tensor_data(node->inputs[2]);
    const real *norm = tensor_data(node->inputs[1]);
    if (isfinite(*norm)) {
        MuonUpdate update = update_of(&work->attrs, step, (double)*norm);
        MuonMost most = muon_most(work);
        for (int i = 0; i < work->n_matrices; i++)
            matrix_update(node, &update, &work->matrices[i], most);
    } else if (node->outputs[4] != NULL) {
        for (int i = 0; i < work->n_matrices; i++)
            first_nonfinite_keep(node, &work->matrices[i], step);
    }
    return OK;
}
