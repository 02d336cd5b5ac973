/* A non-finite gradient: the norm shows it, AdamW changes nothing, and the first non-finite element
 * of the first such step is kept, however many steps follow before the host reads it. The same on
 * the CPU and the GPU. */
#include "core/ops/adamw.h"
#include "core/ops/reduce.h"
#include "core/store.h"
#include "tests/gpu/cases_helper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_ALL = 100000, OTHER = 64 * 1000 };

typedef struct Update {
    Device *device;
    Store *store;
    Program *program;
    /* grad follows `other` in its section */
    Tensor *other, *grad, *weight, *m, *v, *norm, *step, *first_nonfinite;
} Update;

static bool update_create(Device *device, Update *u) {
    Section *f, *g, *s, *o;
    int64_t all[] = {COUNT_ALL}, other[] = {OTHER}, one[] = {1}, state[] = {sizeof(StepState)};
    *u = (Update){.device = device};
    bool good =
        CHECK_OK(store_create(&u->store)) &&
        CHECK_OK(store_section(u->store, "weights", BUFFER_WEIGHTS, DTYPE_F32, &f)) &&
        CHECK_OK(store_section(u->store, "gradients", BUFFER_GRADIENTS, DTYPE_F32, &g)) &&
        CHECK_OK(store_section(u->store, "step", BUFFER_INPUTS, DTYPE_U8, &s)) &&
        CHECK_OK(store_section(u->store, "first_nonfinite", BUFFER_INPUTS, DTYPE_I64, &o)) &&
        CHECK_OK(section_add(u->store, g, "other", 1, other, &u->other)) &&
        CHECK_OK(section_add(u->store, g, "grad", 1, all, &u->grad)) &&
        CHECK_OK(section_add(u->store, f, "weight", 1, all, &u->weight)) &&
        CHECK_OK(section_add(u->store, f, "m", 1, all, &u->m)) &&
        CHECK_OK(section_add(u->store, f, "v", 1, all, &u->v)) &&
        CHECK_OK(section_add(u->store, f, "norm", 1, one, &u->norm)) &&
        CHECK_OK(section_add(u->store, s, "state", 1, state, &u->step)) &&
        CHECK_OK(section_add(u->store, o, "first_nonfinite", 1, one, &u->first_nonfinite)) &&
        CHECK_OK(store_allocate(u->store, device)) &&
        CHECK_OK(program_create(device->target, false, &u->program));
    if (!good) return false;
    l2_norm_of_record(u->program, u->norm, u->grad);
    adamw_record(u->program, (AdamwAttrs){0.9, 0.95, 1e-8, 1.0, 0.1, 1.0},
                 (AdamwTensors){.grad = u->grad,
                                .norm = u->norm,
                                .step = u->step,
                                .weight = u->weight,
                                .m = u->m,
                                .v = u->v,
                                .first_nonfinite = u->first_nonfinite});
    return CHECK_OK(program_status(u->program));
}

static void update_destroy(Update *u) {
    program_destroy(&u->program);
    store_destroy(&u->store);
}

/* Runs one step with these elements of the gradient not finite (-1: none). */
static void step(Update *u, uint64_t index, int64_t first, int64_t second, float bad) {
    float *values = calloc(COUNT_ALL, sizeof *values);
    StepState state = {.step = index, .adam_step = 1, .lr = 0.1f, .loss_scale = 1};
    for (int i = 0; i < COUNT_ALL; i++) values[i] = 0.01f * (float)(i % 7);
    if (first >= 0) values[first] = bad;
    if (second >= 0) values[second] = bad;
    CHECK_OK(device_upload(u->device, u->grad, values));
    CHECK_OK(device_upload(u->device, u->step, &state));
    CHECK_OK(device_replay(u->device, u->program));
    free(values);
}

static int64_t first_nonfinite(Update *u) {
    int64_t value = -1;
    CHECK_OK(device_download(u->device, &value, u->first_nonfinite));
    return value;
}

static void first_nonfinite_on(Device *device) {
    Update u;
    Plan *plan = NULL;
    void *arena = NULL;
    int64_t element = -1;
    float *weights = calloc(COUNT_ALL, sizeof *weights), norm = 0;
    if (update_create(device, &u) && CHECK_OK(plan_create(u.program, &plan)) &&
        CHECK_OK(device_alloc(device, plan->bytes, "a test", &arena))) {
        plan_bind(plan, u.program, arena);
        step(&u, 3, -1, -1, 0);
        CHECK(first_nonfinite(&u) == 0);
        CHECK_OK(device_download(device, weights, u.weight));
        float before = weights[5];
        CHECK(before != 0);
        step(&u, 4, 77777, 99999, NAN);
        step(&u, 5, 12, 50000, INFINITY);
        CHECK_OK(device_download(device, &norm, u.norm));
        CHECK(!isfinite(norm));
        CHECK(adamw_first_nonfinite_element(first_nonfinite(&u), &element) &&
              element == (OTHER + 77777) / 64 * 64);
        CHECK_OK(device_download(device, weights, u.weight));
        CHECK(weights[5] == before);
        step(&u, 6, -1, -1, 0);
        CHECK_OK(device_download(device, weights, u.weight));
        CHECK(weights[5] != before);
        int64_t none = 0;
        CHECK_OK(device_upload(device, u.first_nonfinite, &none));
        step(&u, 7, COUNT_ALL - 1, -1, -INFINITY);
        CHECK(adamw_first_nonfinite_element(first_nonfinite(&u), &element) &&
              element == (OTHER + COUNT_ALL - 1) / 64 * 64);
    }
    if (plan != NULL) device_free(device, arena, plan->bytes);
    plan_destroy(&plan);
    update_destroy(&u);
    free(weights);
}

static void the_first_nonfinite_on_the_cpu(void) {
    Device *device = NULL;
    REQUIRE_OK(device_open_cpu(2, &device));
    first_nonfinite_on(device);
    device_close(&device);
}

static void the_first_nonfinite_on_the_gpu(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    first_nonfinite_on(case_gpu());
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(the_first_nonfinite_on_the_cpu),
                          TEST(the_first_nonfinite_on_the_gpu)};
    return harness_run(argc, argv, "the first gradient that is not finite", tests, COUNT(tests));
}
