/* The op muon on a GPU: three steps against f64 on the CPU, from the same numbers. In f32 all of it
 * is f32; with 16-bit weights X is f16, whose error the iteration amplifies. */
#include "core/ops/adamw.h"
#include "core/rng.h"
#include "tests/core/muon_helper.h"
#include "tests/gpu/cases_helper.h"

#include <string.h>

enum { STEPS = 3 };

/* Of the update and of the moments, which hold squares. */
#define HALF_BAR 2.5e-2
#define HALF_MOMENTS_BAR 5e-2

static const MuonAttrs plain = {
    .momentum = 0.95, .iteration = MUON_QUINTIC, .lr_scale = 1, .weight_decay = 0.1};
static const MuonAttrs normuon = {.momentum = 0.95,
                                  .momentum_start = 0.85,
                                  .momentum_warmup = 2,
                                  .nesterov = true,
                                  .cautious = true,
                                  .beta2 = 0.9,
                                  .lr_scale = 2,
                                  .weight_decay = 0.1};

static double *numbers(int64_t count, uint64_t seed, double size) {
    double *values = calloc((size_t)count, sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] =
            (double)(float)(size *
                            ((double)rng_uniform(philox(seed, (uint64_t)i, 0).word[0]) - 0.5));
    return values;
}

/* 16-bit weights hold the start exactly. */
static double *start_of(int64_t count) {
    double *values = numbers(count, 100, 1);
    for (int64_t i = 0; i < count; i++) values[i] = edge_rounded(values[i], DTYPE_BF16);
    return values;
}

typedef struct MuonResult {
    double *weights, *momentum, *row_moments;
    int64_t elements, rows, skipped;
} MuonResult;

static void result_free(MuonResult *r) {
    free(r->weights);
    free(r->momentum);
    free(r->row_moments);
}

static MuonResult steps_run(Device *device, DType dtype, const MuonProblem *problem) {
    MuonRun run;
    MuonResult result = {0};
    int64_t count = 0;
    for (int i = 0; i < problem->count; i++)
        count += problem->matrices[i].rows * problem->matrices[i].columns;
    double *start = start_of(count);
    if (muon_run_open(&run, device, dtype, problem, start)) {
        for (int step = 0; step < STEPS; step++) {
            double *g = numbers(count, (uint64_t)step + 1, 0.01);
            muon_run_step(&run, (uint64_t)step, 0.1, g);
            free(g);
        }
        result = (MuonResult){.weights = muon_run_weights(&run),
                              .momentum = edge_read(&run.e, run.momentum),
                              .elements = run.elements,
                              .rows = run.rows,
                              .skipped = run.skipped};
        if (problem->normuon) result.row_moments = edge_read(&run.e, run.row_moments);
    }
    muon_run_close(&run);
    free(start);
    return result;
}

/* |a - b| / |b|, by Frobenius norm; `base`, if given, is subtracted from b in the divisor. */
static double error_of(const double *a, const double *b, const double *base, int64_t count) {
    double error = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        double change = base == NULL ? b[i] : b[i] - base[i];
        error += (a[i] - b[i]) * (a[i] - b[i]);
        size += change * change;
    }
    return sqrt(error / size);
}

static void result_check(const MuonResult *found, const MuonResult *wanted, DType dtype) {
    double *start = start_of(wanted->elements), bar = dtype == DTYPE_F32 ? 1e-5 : HALF_BAR;
    double weights = error_of(found->weights, wanted->weights, start, wanted->elements),
           momentum = error_of(found->momentum + found->skipped, wanted->momentum + wanted->skipped,
                               NULL, wanted->elements);
    printf(" %s: update %.1e", dtype_name(dtype), weights);
    CHECK(weights <= bar && momentum <= 1e-6);
    if (found->row_moments != NULL) {
        double moments = error_of(found->row_moments + found->skipped,
                                  wanted->row_moments + wanted->skipped, NULL, wanted->rows);
        printf(", moments %.1e", moments);
        CHECK(moments <= (dtype == DTYPE_F32 ? bar : HALF_MOMENTS_BAR));
    }
    free(start);
}

/* Twice on the GPU, which must repeat bit by bit. */
static void problem_check(const MuonProblem *problem) {
    static const DType dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    Device *gpu = case_gpu(), *cpu = NULL;
    if (gpu == NULL || !CHECK_OK(device_open_cpu(2, &cpu))) return;
    MuonResult wanted = steps_run(cpu, DTYPE_F64, problem);
    for (size_t i = 0; i < COUNT(dtypes) && wanted.weights != NULL; i++) {
        MuonResult found = steps_run(gpu, dtypes[i], problem),
                   again = steps_run(gpu, dtypes[i], problem);
        if (found.weights != NULL && again.weights != NULL) {
            result_check(&found, &wanted, dtypes[i]);
            CHECK(memcmp(found.weights, again.weights,
                         (size_t)found.elements * sizeof *found.weights) == 0);
        }
        result_free(&found);
        result_free(&again);
    }
    result_free(&wanted);
    device_close(&cpu);
}

static void matrices_add(MuonProblem *problem, int count, int64_t rows, int64_t columns) {
    for (int i = 0; i < count; i++)
        problem->matrices[problem->count++] = (MuonMatrix){.rows = rows, .columns = columns};
}

/* Without cautious decay the update is a smooth function of X; with it, an element of X that is
 * nearly 0 decays or does not. */
static void both_check(MuonProblem *problem, bool is_cautious) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    problem->attrs = plain;
    problem_check(problem);
    problem->attrs = normuon;
    problem->attrs.cautious = is_cautious;
    problem->normuon = problem->offset = true;
    problem_check(problem);
}

static void tall_and_wide(void) {
    MuonProblem problem = {0};
    matrices_add(&problem, 3, 64, 192);
    matrices_add(&problem, 2, 192, 64);
    matrices_add(&problem, 1, 128, 128);
    both_check(&problem, true);
}

static void ragged(void) {
    MuonProblem problem = {0};
    matrices_add(&problem, 2, 33, 70);
    matrices_add(&problem, 3, 131, 35);
    matrices_add(&problem, 1, 1, 9);
    both_check(&problem, true);
}

static void more_than_a_batch(void) {
    MuonProblem problem = {0};
    matrices_add(&problem, MUON_BATCH_MATRICES + 6, 32, 40);
    both_check(&problem, true);
}

static void of_a_gpt(void) {
    MuonProblem problem = {0};
    matrices_add(&problem, 4, 768, 768);
    matrices_add(&problem, 1, 3072, 768);
    matrices_add(&problem, 1, 768, 3072);
    if (case_sanitized()) SKIP("takes minutes under a sanitizer");
    both_check(&problem, false);
}

/* A non-finite gradient changes nothing and is found. */
static void skips_a_step(void) {
    enum { N = 64 * 192 };
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *gpu = case_gpu();
    MuonProblem problem = {.attrs = normuon, .normuon = true};
    matrices_add(&problem, 1, 64, 192);
    double *start = start_of(N), *g = numbers(N, 1, 1);
    int64_t found = 0, element;
    MuonRun run;
    g[640] = NAN;
    if (gpu != NULL && muon_run_open(&run, gpu, DTYPE_BF16, &problem, start)) {
        muon_run_step(&run, 3, 0.1, g);
        double *w = muon_run_weights(&run), *m = edge_read(&run.e, run.momentum);
        CHECK_OK(device_download(gpu, &found, run.first_nonfinite));
        CHECK(adamw_first_nonfinite_element(found, &element) && element == 640);
        for (int i = 0; i < N; i++) CHECK(w[i] == start[i] && m[i] == 0);
        free(w);
        free(m);
        muon_run_close(&run);
    }
    free(start);
    free(g);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(tall_and_wide), TEST(ragged), TEST(more_than_a_batch),
                          TEST(of_a_gpt), TEST(skips_a_step)};
    return harness_run(argc, argv, "muon on a GPU", tests, COUNT(tests));
}
