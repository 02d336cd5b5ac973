/* The op muon: Newton-Schulz against a singular value decomposition in f64, ten steps against
 * vectors of PyTorch, and gradients of extreme size. */
#include "core/ops/adamw.h"
#include "core/rng.h"
#include "tests/core/muon_helper.h"
#include "tests/golden/golden.h"

#include <string.h>

static Device *device;

static double uniform(uint64_t i) { return (double)rng_uniform(philox(7, i, 0).word[0]) - 0.5; }

static double *random_values(int64_t count) {
    double *values = calloc((size_t)count, sizeof *values);
    for (int64_t i = 0; i < count; i++) values[i] = uniform((uint64_t)i);
    return values;
}

/* ---- singular values ------------------------------------------------------------------------- */

enum { SIDE_MAX = 48, COUNT_MAX = SIDE_MAX * SIDE_MAX };

/* The columns of `a` (rows, columns) become u s, by one-sided Jacobi rotations, and v (columns,
 * columns) their right vectors: a_before = a_after v^T. */
static void rotate(double *a, double *v, int rows, int columns, int p, int q) {
    double pp = 0, qq = 0, pq = 0;
    for (int i = 0; i < rows; i++) {
        double x = a[i * columns + p], y = a[i * columns + q];
        pp += x * x, qq += y * y, pq += x * y;
    }
    if (fabs(pq) <= 1e-16 * sqrt(pp * qq)) return;
    double zeta = (qq - pp) / (2 * pq), t = copysign(1, zeta) / (fabs(zeta) + hypot(1, zeta)),
           c = 1 / hypot(1, t), s = c * t;
    for (int i = 0; i < rows + columns; i++) {
        double *row = i < rows ? &a[i * columns] : &v[(i - rows) * columns];
        double x = row[p], y = row[q];
        row[p] = c * x - s * y;
        row[q] = s * x + c * y;
    }
}

static void decompose(double *a, double *v, double *s, int rows, int columns) {
    for (int i = 0; i < columns * columns; i++) v[i] = i % (columns + 1) == 0;
    for (int sweep = 0; sweep < 40; sweep++) {
        for (int p = 0; p < columns; p++) {
            for (int q = p + 1; q < columns; q++) rotate(a, v, rows, columns, p, q);
        }
    }
    for (int j = 0; j < columns; j++) {
        double sum = 0;
        for (int i = 0; i < rows; i++) sum += a[i * columns + j] * a[i * columns + j];
        s[j] = sqrt(sum);
    }
}

/* The iteration on one singular value. */
static double iterated(MuonIteration iteration, double s) {
    for (int i = 0; i < MUON_ITERATIONS; i++) {
        MuonCoefficients c = muon_coefficients(iteration, i);
        s = c.a * s + c.b * s * s * s + c.c * pow(s, 5);
    }
    return s;
}

/* u f(s) v^T, in `out`. */
static void compose(double *out, const double *us, const double *v, const double *s,
                    MuonIteration iteration, double norm, int rows, int columns) {
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) {
            double sum = 0;
            for (int k = 0; k < columns; k++) {
                double value = iterated(iteration, s[k] / norm);
                sum += us[i * columns + k] / s[k] * value * v[j * columns + k];
            }
            out[i * columns + j] = sum;
        }
    }
}

/* -X sqrt(max(1, R / K)) of an update of zero weights with lr 1. */
static void orthogonalization_of(int rows, int columns, MuonIteration iteration) {
    MuonProblem problem = {.matrices = {{.rows = rows, .columns = columns}},
                           .count = 1,
                           .attrs = {.iteration = iteration, .lr_scale = 1}};
    int count = rows * columns;
    double zeros[COUNT_MAX] = {0}, us[COUNT_MAX], v[COUNT_MAX], s[SIDE_MAX], wanted[COUNT_MAX];
    double *g = random_values(count), norm = 0, shape = sqrt(fmax(1, (double)rows / columns));
    MuonRun run;
    if (muon_run_open(&run, device, DTYPE_F64, &problem, zeros)) {
        muon_run_step(&run, 0, 1, g);
        double *w = muon_run_weights(&run);
        memcpy(us, g, (size_t)count * sizeof *us);
        decompose(us, v, s, rows, columns);
        for (int i = 0; i < columns; i++) norm += s[i] * s[i];
        norm = muon_norm_factor(iteration) * sqrt(norm) + MUON_NORM_EPS;
        compose(wanted, us, v, s, iteration, norm, rows, columns);
        for (int i = 0; i < count; i++) CHECK_CLOSE(-w[i] / shape, wanted[i], 1e-10);
        free(w);
    }
    muon_run_close(&run);
    free(g);
}

/* Only tall matrices: the decomposition has as many values as columns. */
static void orthogonalizes(void) {
    orthogonalization_of(24, 24, MUON_QUINTIC);
    orthogonalization_of(40, 16, MUON_QUINTIC);
    orthogonalization_of(24, 24, MUON_POLAR_EXPRESS);
    orthogonalization_of(40, 16, MUON_POLAR_EXPRESS);
    orthogonalization_of(48, 1, MUON_POLAR_EXPRESS);
}

/* A wide matrix gives the transpose of the tall one's result, without its scale. */
static void wide_matrices_are_transposed(void) {
    enum { ROWS = 12, COLUMNS = 31, N = ROWS * COLUMNS };
    double zeros[N] = {0}, turned[N], *g = random_values(N), *results[2] = {NULL, NULL};
    for (int i = 0; i < N; i++) turned[i % COLUMNS * ROWS + i / COLUMNS] = g[i];
    for (int tall = 0; tall < 2; tall++) {
        MuonProblem problem = {.count = 1, .attrs = {.lr_scale = 1}};
        problem.matrices[0].rows = tall ? COLUMNS : ROWS;
        problem.matrices[0].columns = tall ? ROWS : COLUMNS;
        MuonRun run;
        if (muon_run_open(&run, device, DTYPE_F64, &problem, zeros)) {
            muon_run_step(&run, 0, 1, tall ? turned : g);
            results[tall] = muon_run_weights(&run);
        }
        muon_run_close(&run);
    }
    double scale = sqrt((double)COLUMNS / ROWS);
    for (int i = 0; i < N && results[0] != NULL && results[1] != NULL; i++)
        CHECK_CLOSE(results[1][i % COLUMNS * ROWS + i / COLUMNS], scale * results[0][i], 1e-12);
    free(results[0]);
    free(results[1]);
    free(g);
}

/* The bands that core/ops/muon.h states. */
static void singular_values_end_in_their_band(void) {
    for (double s = 2e-3; s <= 1; s *= 1.001) {
        double quintic = iterated(MUON_QUINTIC, s), polar = iterated(MUON_POLAR_EXPRESS, s / 1.02);
        CHECK(quintic >= 0.68 && quintic <= 1.21);
        CHECK(polar >= 0.85 && polar <= 1.15);
    }
}

/* ---- PyTorch --------------------------------------------------------------------------------- */

static Golden golden;

typedef struct GoldenCase {
    const char *name;
    MuonAttrs attrs;
    bool normuon;
} GoldenCase;

static const GoldenCase golden_cases[] = {
    {"muon",
     {.momentum = 0.95,
      .nesterov = true,
      .iteration = MUON_QUINTIC,
      .lr_scale = 1,
      .weight_decay = 0.1},
     false},
    {"heavy_ball", {.momentum = 0.95, .lr_scale = 1, .weight_decay = 0.1}, false},
    {"normuon",
     {.momentum = 0.95,
      .momentum_start = 0.85,
      .momentum_warmup = 6,
      .nesterov = true,
      .cautious = true,
      .beta2 = 0.95,
      .lr_scale = 1,
      .weight_decay = 0.1},
     true},
};

static double *widened(const GoldenRecord *record, int64_t first, int64_t count) {
    double *values = calloc((size_t)count, sizeof *values);
    for (int64_t i = 0; i < count; i++) values[i] = (double)record->values[first + i];
    return values;
}

static void golden_compare(MuonRun *run, const Tensor *t, const char *name, const char *what) {
    char full[64];
    snprintf(full, sizeof full, "%s/%s", name, what);
    const GoldenRecord *record = golden_find(&golden, full);
    CHECK(record != NULL);
    if (record == NULL) return;
    double *found = edge_read(&run->e, t);
    for (int64_t i = 0; i < record->count; i++)
        CHECK_CLOSE(found[run->skipped + i], (double)record->values[i], 1e-5);
    free(found);
}

static void golden_check(const GoldenCase *c, DType dtype) {
    MuonProblem problem = {.matrices = {{.rows = 6, .columns = 10},
                                        {.rows = 10, .columns = 6},
                                        {.rows = 8, .columns = 8}},
                           .count = 3,
                           .attrs = c->attrs,
                           .normuon = c->normuon};
    const GoldenRecord *grads = golden_find(&golden, "grads");
    double *weights = widened(golden_find(&golden, "weights"), 0, 184);
    MuonRun run;
    if (muon_run_open(&run, device, dtype, &problem, weights)) {
        for (int step = 0; step < 10; step++) {
            double *g = widened(grads, step * run.elements, run.elements);
            muon_run_step(&run, (uint64_t)step, 0.02, g);
            free(g);
        }
        golden_compare(&run, run.weight, c->name, "weights");
        golden_compare(&run, run.momentum, c->name, "momentum");
        if (c->normuon) golden_compare(&run, run.row_moments, c->name, "row_moments");
    }
    muon_run_close(&run);
    free(weights);
}

static void ten_steps_of_pytorch(void) {
    REQUIRE_OK(golden_open("tests/golden/muon.bin", &golden));
    for (size_t i = 0; i < COUNT(golden_cases); i++) {
        golden_check(&golden_cases[i], DTYPE_F32);
        golden_check(&golden_cases[i], DTYPE_F64);
    }
    golden_close(&golden);
}

/* ---- momentum -------------------------------------------------------------------------------- */

static void momentum_warms_up(void) {
    const MuonAttrs attrs = {.momentum = 0.95, .momentum_start = 0.85, .momentum_warmup = 300};
    CHECK(muon_momentum(&attrs, 1) == 0.85 && muon_momentum(&attrs, 301) == 0.95);
    CHECK_CLOSE(muon_momentum(&attrs, 151), 0.90, 1e-15);
    CHECK(muon_momentum(&attrs, 1000000) == 0.95);
    const MuonAttrs constant = {.momentum = 0.9};
    CHECK(muon_momentum(&constant, 1) == 0.9);
}

/* ---- extreme gradients ----------------------------------------------------------------------- */

enum { EDGE_ROWS = 5, EDGE_COLUMNS = 7, EDGE_COUNT = EDGE_ROWS * EDGE_COLUMNS };

/* The first weight after one step from 1 with lr 0.1. */
static double after_a_step(DType dtype, const double *g, int64_t *first_nonfinite) {
    MuonProblem problem = {.matrices = {{.rows = EDGE_ROWS, .columns = EDGE_COLUMNS}},
                           .count = 1,
                           .attrs = {.lr_scale = 1, .weight_decay = 0.5, .beta2 = 0.5},
                           .normuon = true};
    double ones[EDGE_COUNT], found = NAN;
    for (int i = 0; i < EDGE_COUNT; i++) ones[i] = 1;
    MuonRun run;
    if (muon_run_open(&run, device, dtype, &problem, ones)) {
        muon_run_step(&run, 3, 0.1, g);
        double *w = muon_run_weights(&run);
        CHECK_OK(device_download(device, first_nonfinite, run.first_nonfinite));
        found = w[0];
        free(w);
    }
    muon_run_close(&run);
    return found;
}

static void extreme_gradients_of(DType dtype) {
    double g[EDGE_COUNT] = {0};
    int64_t found, element;
    CHECK_CLOSE(after_a_step(dtype, g, &found), 1 - 0.1 * 0.5, 1e-7); /* decay alone */
    for (int i = 0; i < EDGE_COUNT; i++) g[i] = (i % 3 - 1.1) * 1e30;
    double far = after_a_step(dtype, g, &found);
    for (int i = 0; i < EDGE_COUNT; i++) g[i] *= 1e-30;
    CHECK_CLOSE(far, after_a_step(dtype, g, &found), 1e-5);
    CHECK(far != 1 && found == 0);
    g[EDGE_COLUMNS] = NAN;
    CHECK(after_a_step(dtype, g, &found) == 1);
    CHECK(adamw_first_nonfinite_element(found, &element) && element == 0);
    CHECK(found == adamw_first_nonfinite(3, EDGE_COLUMNS));
}

static void extreme_gradients(void) {
    extreme_gradients_of(DTYPE_F32);
    extreme_gradients_of(DTYPE_F64);
}

static void rates_are_checked(void) {
    Edge e;
    if (!edge_begin(&e, device, DTYPE_F32)) return;
    MuonMatrix matrix = {.rows = 1, .columns = 1};
    Tensor *t = edge_tensor(&e, e.wide, SHAPE(1)), *state = edge_step(&e);
    muon_record(e.program, (MuonAttrs){.momentum = 1},
                (MuonTensors){.grad = t,
                              .norm = t,
                              .step = state,
                              .weight = t,
                              .momentum = t,
                              .matrices = &matrix,
                              .n_matrices = 1});
    CHECK_ERROR(program_status(e.program), STATUS_CONFIG, "momentum 0 and 1");
    edge_end(&e);
}

/* ---- the plan -------------------------------------------------------------------------------- */

/* GPT-2 124M's blocks in f32: 1.63 TFLOP in three batches, of which the second holds wide and tall
 * matrices. */
static void cost_of_gpt2(void) {
    MuonProblem problem = {.attrs = {.lr_scale = 1}, .normuon = true};
    for (int i = 0; i < 72; i++) {
        int64_t tall = i >= 48 && i < 60, wide = i >= 60;
        problem.matrices[problem.count++] =
            (MuonMatrix){.rows = tall ? 3072 : 768, .columns = wide ? 3072 : 768};
    }
    Edge e;
    if (!edge_begin(&e, device, DTYPE_F32)) return;
    Tensor *t = edge_tensor(&e, e.wide, SHAPE(85 << 20)), *state = edge_step(&e);
    muon_record(e.program, problem.attrs,
                (MuonTensors){.grad = t,
                              .norm = t,
                              .step = state,
                              .weight = t,
                              .momentum = t,
                              .row_moments = t,
                              .matrices = problem.matrices,
                              .n_matrices = problem.count});
    if (CHECK_OK(program_status(e.program))) {
        const Node *node = program_last(e.program);
        const MuonWork *work = node->attrs;
        CHECK(work->n_batches == 3 && work->n_matrices == 72);
        const MuonMatrix *second = work->matrices + work->batches[1].first;
        CHECK(work->batches[1].count == 14 && second[11].rows == 768 && second[12].rows == 3072);
        CHECK_CLOSE(node_cost(node).flops / 1e12, 1.631, 1e-3);
    }
    edge_end(&e);
}

static bool is_gram(int64_t rows, int64_t columns, size_t each) {
    MuonMatrix shape = {.rows = rows, .columns = columns};
    MuonPlaces places = muon_places(&shape, 3, each);
    size_t r = (size_t)muon_side(&shape);
    CHECK((places.q < places.spare) == places.gram);
    CHECK(!places.gram || places.spare - places.q >= 3 * r * r * each);
    CHECK(places.bytes > places.scales && places.scales > places.spare);
    return places.gram;
}

/* A GPU iterates on r x r matrices where that takes fewer FLOPs: in 16 bits with 2 k > 3 r. */
static void gram_where_it_is_cheaper(void) {
    CHECK(is_gram(768, 3072, 2) && is_gram(3072, 768, 2) && is_gram(1, 9, 2));
    CHECK(!is_gram(768, 768, 2) && !is_gram(200, 300, 2) && is_gram(200, 301, 2));
    CHECK(!is_gram(768, 3072, 4));
    const MuonMatrix square = {.rows = 768, .columns = 768}, wide = {.rows = 768, .columns = 3072};
    double flops = 48 * muon_flops(&square, false) + 24 * muon_flops(&wide, true);
    CHECK_CLOSE(flops / 1e12, 1.305, 1e-3);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(orthogonalizes),
                          TEST(wide_matrices_are_transposed),
                          TEST(singular_values_end_in_their_band),
                          TEST(ten_steps_of_pytorch),
                          TEST(momentum_warms_up),
                          TEST(extreme_gradients),
                          TEST(rates_are_checked),
                          TEST(cost_of_gpt2),
                          TEST(gram_where_it_is_cheaper)};
    if (failed(device_open_cpu(2, &device))) return 1;
    int code = harness_run(argc, argv, "muon", tests, COUNT(tests));
    device_close(&device);
    return code;
}
