/* Every op's gradient against central differences of fourth order in f64, over all op cases. */
#include "tests/core/ops_cases_helper.h"
#include "tests/harness.h"
#include "tests/nn/model_helper.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS = 20 }; /* checked per tensor; all elements of a smaller tensor */

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

static void every_case(void) {
    for (int i = 0; i < n_op_cases; i++) check_case(&op_cases[i], false);
}

static void every_case_onto_what_is_there(void) {
    for (int i = 0; i < n_op_cases; i++) check_case(&op_cases[i], true);
}

/* ---- no op without a case ---- */

static bool program_has(const Program *p, const Op *op) {
    for (int i = 0; p != NULL && i < p->n_nodes; i++) {
        if (p->nodes[i]->op == op) return true;
    }
    return false;
}

static bool has_case(const Op *op) {
    bool found = false;
    for (int i = 0; i < n_op_cases && !found; i++) {
        CaseRun *run = NULL;
        found = CHECK_OK(case_create(&op_cases[i], device->target, DTYPE_F64, false, &run)) &&
                program_has(run->program, op);
        case_destroy(&run);
    }
    return found;
}

/* Ops without a gradient, tested elsewhere. */
static bool is_elsewhere(const Op *op) {
    static const char *const names[] = {"adamw",   "documents", "norm", "sequence_squares",
                                        "squares", "sum"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(op->name, names[i]) == 0) return true;
    }
    return false;
}

static void op_check(const Op *op, void *self) {
    (void)self;
    bool is_checked = is_elsewhere(op) || has_case(op);
    if (!is_checked) printf("\n    tests/core/ops_cases_helper.c: no %s", op->name);
    CHECK(is_checked);
}

static void every_op_of_a_gpt_has_a_case(void) { model_visit_ops(op_check, NULL); }

static void worst_error(void) {
    printf("%.1e ", worst);
    CHECK(worst <= 1e-6);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(every_case),
        TEST(every_case_onto_what_is_there),
        TEST(worst_error),
        TEST(every_op_of_a_gpt_has_a_case),
    };
    if (failed(device_open_cpu(1, &device))) return 1;
    int code = harness_run(argc, argv, "gradients", tests, COUNT(tests));
    device_close(&device);
    return code;
}
