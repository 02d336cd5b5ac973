/* Repeatability bit by bit: between replays for every op, and between numbers of threads if a
 * header promises it (sums over fixed parts, and all elementwise ops). */
#include "core/autodiff.h"
#include "core/bound_program.h"
#include "core/ops/adamw.h"
#include "core/ops/reduce.h"
#include "core/step.h"
#include "tests/core/ops_cases_helper.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20 };

/* All gradients and outputs of a case, one after the other; returns their size in bytes. */
static size_t collect(const CaseRun *run, char *to) {
    size_t bytes = 0;
    for (int i = 0; i < run->n_inputs + run->n_outputs; i++) {
        bool in = i < run->n_inputs;
        const Tensor *t = in ? run->inputs[i].grad : run->outputs[i - run->n_inputs].tensor;
        if (bytes + tensor_bytes(t) > MAX_BYTES) return 0;
        memcpy(to + bytes, tensor_data(t), tensor_bytes(t));
        bytes += tensor_bytes(t);
    }
    return bytes;
}

static void replays_agree(void) {
    Device *device = NULL;
    char *first = malloc(MAX_BYTES), *second = malloc(MAX_BYTES);
    REQUIRE_OK(device_open_cpu(2, &device));
    for (int i = 0; i < n_op_cases; i++) {
        CaseRun *run = NULL;
        if (CHECK_OK(case_create(&op_cases[i], device->target, DTYPE_F32, true, &run)) &&
            CHECK_OK(case_bind(run, device)) && CHECK_OK(case_replay(run))) {
            size_t bytes = collect(run, first);
            CHECK_OK(case_replay(run));
            bool same =
                bytes > 0 && collect(run, second) == bytes && memcmp(first, second, bytes) == 0;
            if (!same) printf("\n    %s differs", op_cases[i].name);
            CHECK(same);
        }
        case_destroy(&run);
    }
    device_close(&device);
    free(first);
    free(second);
}

/* Ops that promise independence of the number of threads: bias gradient, norms, short convolution,
 * embedding, dropout. */
static bool claims_it(const char *op, const char *tensor) {
    return strncmp(op, "layernorm", 9) == 0 || strncmp(op, "rmsnorm", 7) == 0 ||
           strncmp(op, "short_conv", 10) == 0 || strncmp(op, "embedding", 9) == 0 ||
           strncmp(op, "dropout", 7) == 0 ||
           (strncmp(op, "linear", 6) == 0 && strcmp(tensor, "bias") == 0);
}

static void check_threads(const OpCase *op, Device *devices[3]) {
    CaseRun *runs[3] = {0};
    for (int k = 0; k < 3; k++) {
        if (!CHECK_OK(case_create(op, devices[k]->target, DTYPE_F32, false, &runs[k])) ||
            !CHECK_OK(case_bind(runs[k], devices[k])) || !CHECK_OK(case_replay(runs[k]))) {
            return;
        }
    }
    for (int i = 0; i < runs[0]->n_inputs; i++) {
        const Tensor *one = runs[0]->inputs[i].grad;
        if (!claims_it(op->name, runs[0]->inputs[i].name)) continue;
        for (int k = 1; k < 3; k++) {
            CHECK(memcmp(tensor_data(one), tensor_data(runs[k]->inputs[i].grad),
                         tensor_bytes(one)) == 0);
        }
    }
    for (int k = 0; k < 3; k++) case_destroy(&runs[k]);
}

static void threads_do_not_matter(void) {
    Device *devices[3] = {0};
    for (int k = 0; k < 3; k++) REQUIRE_OK(device_open_cpu(k + 1, &devices[k]));
    for (int i = 0; i < n_op_cases; i++) check_threads(&op_cases[i], devices);
    for (int k = 0; k < 3; k++) device_close(&devices[k]);
}

enum { N = 100003 };

/* norm, sum and AdamW over vectors of N elements; results (2) and weights. */
static Status vectors_run(int threads, float *results, float *weights) {
    Device *device;
    Store *store;
    BoundProgram bound = {0};
    Section *reals, *bytes;
    Tensor *t[5], *out[2], *step;
    const char *names[] = {"grad", "w", "m", "v", "x"};
    TRY(device_open_cpu(threads, &device));
    TRY(store_create(&store));
    TRY(store_section(store, "reals", BUFFER_INPUTS, DTYPE_F32, &reals));
    TRY(store_section(store, "bytes", BUFFER_INPUTS, DTYPE_U8, &bytes));
    for (int i = 0; i < 5; i++) TRY(section_add(store, reals, names[i], 1, (int64_t[]){N}, &t[i]));
    for (int i = 0; i < 2; i++) TRY(section_add(store, reals, "out", 1, (int64_t[]){1}, &out[i]));
    TRY(section_add(store, bytes, "step", 1, (int64_t[]){sizeof(StepState)}, &step));
    TRY(store_allocate(store, device));
    StepState state = {.adam_step = 3, .lr = 1e-2f, .loss_scale = 1};
    TRY(device_upload(device, step, &state));
    for (int i = 0; i < 5; i++) {
        for (int64_t k = 0; k < N; k++)
            ((float *)tensor_data(t[i]))[k] = (float)(k * (i + 7) % 1009) / 1009;
    }
    TRY(program_create(device->target, true, &bound.program));
    Program *p = bound.program;
    l2_norm_of_record(p, out[0], t[0]);
    sum_record(p, out[1], t[4], 0.5, false);
    adamw_record(
        p, (AdamwAttrs){0.9, 0.95, 1e-8, 1.0, 0.1, 1.0},
        (AdamwTensors){
            .grad = t[0], .norm = out[0], .step = step, .weight = t[1], .m = t[2], .v = t[3]});
    TRY(bound_programs_plan(&bound, 1));
    TRY(bound_programs_bind(&bound, 1, device, "scratch"));
    TRY(device_replay(device, p));
    for (int i = 0; i < 2; i++) results[i] = *(float *)tensor_data(out[i]);
    memcpy(weights, tensor_data(t[1]), N * sizeof *weights);
    bound_programs_destroy(&bound, 1);
    store_destroy(&store);
    device_close(&device);
    return OK;
}

static void long_vectors(void) {
    static float one[2], two[2], three[2], weights_1[N], weights_2[N], weights_3[N];
    REQUIRE_OK(vectors_run(1, one, weights_1));
    REQUIRE_OK(vectors_run(2, two, weights_2));
    REQUIRE_OK(vectors_run(3, three, weights_3));
    CHECK(memcmp(one, two, sizeof one) == 0 && memcmp(one, three, sizeof one) == 0);
    CHECK(memcmp(weights_1, weights_2, sizeof weights_1) == 0 &&
          memcmp(weights_1, weights_3, sizeof weights_1) == 0);
    CHECK(one[0] > 100 && one[1] > 10000);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(replays_agree), TEST(threads_do_not_matter), TEST(long_vectors)};
    return harness_run(argc, argv, "determinism", tests, COUNT(tests));
}
