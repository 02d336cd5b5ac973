/* A tiny model learns, skips steps that are not finite, and allocates nothing in the steady state.
 * It runs alone, because memory is measured. */
#include "tests/harness.h"
#include "tests/nn/model_helper.h"

#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 8, T = 16, STEPS = 60 };

static int32_t tokens[ROWS * T], targets[ROWS * T];

static StepState state_at(int64_t step, float lr) {
    return (StepState){
        .seed = 3, .step = (uint64_t)step, .adam_step = step + 1, .lr = lr, .loss_scale = 1};
}

static bool model_open(int64_t B, int64_t accumulation, int threads, double dropout,
                       TestModel *model) {
    ModelOptions options = model_tiny();
    options.B = B;
    options.accumulation = accumulation;
    options.threads = threads;
    options.config.dropout = dropout;
    if (!CHECK_OK(test_model_create(&options, model))) return false;
    model_batch(model, ROWS, tokens, targets);
    return true;
}

static void loss_falls(void) {
    TestModel model;
    if (model_open(4, 2, 1, 0.05, &model)) {
        double first = 0, last = 0, evaluated = 0;
        for (int64_t step = 0; step < STEPS; step++) {
            CHECK_OK(model_step(&model, state_at(step, 1e-2f), tokens, targets));
            last = model_loss(&model);
            first = step == 0 ? last : first;
        }
        CHECK_OK(model_evaluate(&model, tokens, targets, &evaluated));
        printf("%.3f -> %.3f, evaluated %.3f ", first, last, evaluated);
        CHECK(fabs(first - log(61)) < 0.2);
        CHECK(last < 0.5 && evaluated < 0.3);
    }
    test_model_destroy(&model);
}

/* Two runs from the same seed are equal in every bit of the weights and moments. */
static void runs_repeat(void) {
    TestModel a, b;
    if (model_open(4, 2, 1, 0.1, &a) && model_open(4, 2, 1, 0.1, &b)) {
        for (int64_t step = 0; step < 5; step++) {
            CHECK_OK(model_step(&a, state_at(step, 1e-2f), tokens, targets));
            CHECK_OK(model_step(&b, state_at(step, 1e-2f), tokens, targets));
        }
        const Tensor *x[] = {a.parameters->weights->flat, a.parameters->states[0].section->flat,
                             a.parameters->states[1].section->flat};
        const Tensor *y[] = {b.parameters->weights->flat, b.parameters->states[0].section->flat,
                             b.parameters->states[1].section->flat};
        for (int i = 0; i < 3; i++)
            CHECK(memcmp(tensor_data(x[i]), tensor_data(y[i]), tensor_bytes(x[i])) == 0);
    }
    test_model_destroy(&a);
    test_model_destroy(&b);
}

/* A non-finite gradient appears in the norm and changes nothing. */
static void infinite_gradients_are_skipped(void) {
    TestModel model;
    if (model_open(8, 1, 1, 0, &model)) {
        const Tensor *weights = model.parameters->weights->flat;
        CHECK_OK(model_step(&model, state_at(0, 1e-2f), tokens, targets));
        float *before = malloc(tensor_bytes(weights));
        StepState state = state_at(1, 1e-2f);
        memcpy(before, tensor_data(weights), tensor_bytes(weights));
        state.loss_scale = INFINITY;
        CHECK_OK(model_step(&model, state, tokens, targets));
        CHECK(!isfinite(model_norm(&model)) && isfinite(model_loss(&model)));
        CHECK(memcmp(before, tensor_data(weights), tensor_bytes(weights)) == 0);
        CHECK_OK(model_step(&model, state_at(1, 1e-2f), tokens, targets));
        CHECK(isfinite(model_norm(&model)) &&
              memcmp(before, tensor_data(weights), tensor_bytes(weights)) != 0);
        free(before);
    }
    test_model_destroy(&model);
}

static void not_a_number_reaches_the_loss(void) {
    TestModel model;
    if (model_open(8, 1, 1, 0, &model)) {
        model_set(model_parameter(&model, "h.0.attn.c_attn.weight")->weight, 3, NAN);
        CHECK_OK(model_step(&model, state_at(0, 1e-2f), tokens, targets));
        CHECK(isnan(model_loss(&model)) && !isfinite(model_norm(&model)));
    }
    test_model_destroy(&model);
}

#if !defined(__SANITIZE_ADDRESS__) /* which counts allocations differently */
extern void *__libc_malloc(size_t bytes);
static long n_allocated;

void *malloc(size_t bytes) {
    __atomic_add_fetch(&n_allocated, 1, __ATOMIC_RELAXED);
    return __libc_malloc(bytes);
}
static long allocations(void) { return __atomic_load_n(&n_allocated, __ATOMIC_RELAXED); }
#else
static long allocations(void) { return 0; }
#endif

/* Read without a FILE, whose buffer would be an allocation. */
static long mapped_pages(void) {
    char text[64] = "";
    int file = open("/proc/self/statm", O_RDONLY);
    CHECK(read(file, text, sizeof text - 1) > 0);
    close(file);
    return atol(text);
}

static bool steps_map_memory(TestModel *model, int64_t first, int64_t end) {
    long mapped = mapped_pages();
    for (int64_t step = first; step < end; step++) {
        CHECK_OK(model_step(model, state_at(step, 1e-3f), tokens, targets));
    }
    return mapped_pages() > mapped;
}

/* After two steps nothing is allocated: neither by this project nor, with one thread, by libraries.
 * With more threads OpenBLAS maps a buffer when threads first multiply at the same moment, which
 * may be later; a leak would map every time. */
static void check_steady(int threads, bool counts_all) {
    TestModel model;
    if (model_open(4, 2, threads, 0.1, &model)) {
        (void)steps_map_memory(&model, 0, 2);
        long before = allocations();
        size_t in_use = mallinfo2().uordblks;
        bool maps = true;
        for (int64_t step = 2; step < (counts_all ? 8 : 26) && maps; step += 6) {
            maps = steps_map_memory(&model, step, step + 6);
        }
        CHECK(!maps);
        CHECK(mallinfo2().uordblks == in_use);
        if (counts_all) CHECK(allocations() == before);
    }
    test_model_destroy(&model);
}

static void steady_state_allocates_nothing(void) {
    long before = allocations();
    free(malloc(64));
#if !defined(__SANITIZE_ADDRESS__)
    CHECK(allocations() > before);
#endif
    CHECK(allocations() >= before);
    check_steady(1, true);
    check_steady(2, false);
}

static void plans_are_the_allocation(void) {
    TestModel model;
    if (model_open(4, 4, 1, 0.1, &model)) {
        const Training *training = model.training;
        const Plan *largest = training_largest_plan(training);
        CHECK(largest->bytes == training_arena_bytes(training));
        CHECK(model.device->allocated_bytes ==
              store_bytes(model.store) + training_arena_bytes(training));
        CHECK(training->programs[MICRO_ONLY].program == NULL &&
              training->programs[MICRO_MIDDLE].program != NULL);
        CHECK(training->programs[EVALUATION].plan->bytes < largest->bytes);
        CHECK(training_micro_batch(0, 1) == MICRO_ONLY &&
              training_micro_batch(0, 4) == MICRO_FIRST);
        CHECK(training_micro_batch(2, 4) == MICRO_MIDDLE &&
              training_micro_batch(3, 4) == MICRO_LAST);
    }
    Device *device = model.device;
    model.device = NULL;
    test_model_destroy(&model);
    CHECK(device != NULL && device->allocated_bytes == 0);
    device_close(&device);
}

static void profile_covers_every_op(void) {
    TestModel model;
    if (model_open(8, 1, 1, 0, &model)) {
        const Program *p = model.training->programs[MICRO_ONLY].program;
        OpTime *times = calloc((size_t)p->n_nodes, sizeof *times);
        CHECK_OK(model_step(&model, state_at(0, 0), tokens, targets));
        CHECK_OK(device_profile(model.device, p, times));
        for (int i = 0; i < p->n_nodes; i++) {
            Cost cost = node_cost(p->nodes[i]);
            CHECK(times[i].node == p->nodes[i] && times[i].duration_s >= 0 &&
                  times[i].start_s >= 0);
            CHECK(cost.bytes > 0 && cost.flops >= 0 && p->nodes[i]->label[0] != '\0');
        }
        free(times);
    }
    test_model_destroy(&model);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(loss_falls),
        TEST(runs_repeat),
        TEST(infinite_gradients_are_skipped),
        TEST(not_a_number_reaches_the_loss),
        TEST(steady_state_allocates_nothing),
        TEST(plans_are_the_allocation),
        TEST(profile_covers_every_op),
    };
    return harness_run(argc, argv, "training", tests, COUNT(tests));
}
