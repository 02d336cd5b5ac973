/* Every op's gradient against central differences of fourth order in f64, over the one list of
 * cases. */
#include "tests/core/ops_cases_helper.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS = 20 }; /* of one tensor that are checked; all where there are no more */

static Device *device;
static double worst;

static long double objective_at(CaseRun *run, CaseTensor *input, int64_t element, double value) {
    long double objective = NAN;
    double kept = input->values[element];
    input->values[element] = value;
    CHECK_OK(case_replay(run));
    CHECK_OK(case_objective(run, &objective));
    input->values[element] = kept;
    return objective;
}

/* (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h */
static double difference(CaseRun *run, CaseTensor *input, int64_t element) {
    const double h = 1e-3, x = input->values[element];
    long double near =
        objective_at(run, input, element, x + h) - objective_at(run, input, element, x - h);
    long double far =
        objective_at(run, input, element, x + 2 * h) - objective_at(run, input, element, x - 2 * h);
    return (double)((8 * near - far) / (12 * (long double)h));
}

static double largest(const double *values, int64_t count) {
    double most = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(values[i]));
    return most;
}

static bool tensor_is_right(CaseRun *run, CaseTensor *input) {
    int64_t count = tensor_count(input->tensor), step = count > ELEMENTS ? count / ELEMENTS : 1;
    double *grad = malloc((size_t)count * sizeof *grad);
    bool right = CHECK_OK(case_replay(run)) && CHECK_OK(case_read(run, input->grad, grad));
    for (int64_t i = 0; i < count; i++) grad[i] -= run->accumulate ? CASE_START : 0;
    double floor = 1e-2 * largest(grad, count) + 1e-8;
    for (int64_t i = step / 2; i < count && right; i += step) {
        double wanted = difference(run, input, i),
               error = fabs(grad[i] - wanted) / fmax(fabs(wanted), floor);
        worst = fmax(worst, error);
        if (error <= 1e-6) continue;
        printf("\n    %s: gradient of %s[%lld] is %.12g, by differences %.12g", run->op->name,
               input->name, (long long)i, grad[i], wanted);
        right = false;
    }
    free(grad);
    return right;
}

static void check_case(const OpCase *op, bool accumulate) {
    CaseRun *run = NULL;
    bool created = CHECK_OK(case_create(op, device->target, DTYPE_F64, accumulate, &run));
    if (created && CHECK_OK(case_bind(run, device))) {
        for (int i = 0; i < run->n_inputs; i++) CHECK(tensor_is_right(run, &run->inputs[i]));
    }
    case_destroy(&run);
}

static void check_cases(const char *start, bool accumulate) {
    int n_checked = 0;
    for (int i = 0; i < n_op_cases; i++) {
        if (strncmp(op_cases[i].name, start, strlen(start)) != 0) continue;
        check_case(&op_cases[i], accumulate);
        n_checked++;
    }
    CHECK(n_checked > 0);
}

static void check_both(const char *start) {
    check_cases(start, false);
    check_cases(start, true);
}

static void linear(void) { check_both("linear"); }
static void mlp_with_fused_gelu(void) { check_both("mlp"); }
static void gelu_beside_products(void) { check_both("gelu"); }
static void layernorm(void) { check_both("layernorm"); }
static void residual_sums(void) { check_both("residual"); }
static void three_uses(void) { check_both("three_uses"); }
static void embedding(void) { check_both("embedding"); }
static void dropout(void) { check_both("dropout"); }
static void loss(void) { check_both("loss"); }
static void attention_baseline(void) { check_both("attention_baseline"); }
static void attention_math(void) { check_both("attention_math"); }
static void attention_flash(void) { check_both("attention_flash"); }
static void worst_error(void) {
    printf("%.1e ", worst);
    CHECK(worst <= 1e-6);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(linear),
        TEST(mlp_with_fused_gelu),
        TEST(gelu_beside_products),
        TEST(layernorm),
        TEST(residual_sums),
        TEST(three_uses),
        TEST(embedding),
        TEST(dropout),
        TEST(loss),
        TEST(attention_flash),
        TEST(attention_math),
        TEST(attention_baseline),
        TEST(worst_error),
    };
    if (failed(device_open_cpu(1, &device))) return 1;
    int code = harness_run(argc, argv, "gradients", tests, COUNT(tests));
    device_close(&device);
    return code;
}
