/* The GPU as a device: copies of every size, pending read-backs, graphs, and the error without a
 * GPU. It measures what waits for a copy, so it runs alone: a GPU gives programs turns. */
#include "core/base/clock.h"
#include "core/bound_program.h"
#include "core/ops/copy.h"
#include "core/ops/linear.h"
#include "core/rng.h"
#include "tests/gpu/cases_helper.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Tensor tensor_over(Buffer *buffer, int64_t count) {
    return (Tensor){.buffer = buffer, .dtype = DTYPE_U8, .n_dims = 1, .shape = {count}};
}

static void round_trip(Device *device, size_t bytes) {
    Buffer buffer = {.bytes = bytes};
    unsigned char *out = malloc(bytes), *back = calloc(1, bytes);
    REQUIRE_OK(device_alloc(device, bytes, "a test", &buffer.data));
    Tensor t = tensor_over(&buffer, (int64_t)bytes);
    CHECK_OK(device_download(device, back, &t));
    for (size_t i = 0; i < bytes; i++) {
        if (back[i] != 0) {
            CHECK(back[i] == 0); /* memory is zeroed */
            break;
        }
    }
    for (size_t i = 0; i < bytes; i++) out[i] = (unsigned char)(i * 2654435761u >> 13);
    CHECK_OK(device_upload(device, &t, out));
    CHECK_OK(device_download(device, back, &t));
    CHECK(memcmp(out, back, bytes) == 0);
    device_free(device, buffer.data, bytes);
    free(out);
    free(back);
}

static void copies(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *device = case_gpu();
    const size_t sizes[] = {1, 63, 4096, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 37 << 20};
    size_t before = device->allocated_bytes;
    for (size_t i = 0; i < COUNT(sizes); i++) round_trip(device, sizes[i]);
    CHECK(device->allocated_bytes == before);
}

/* x grows by one at each replay; every read-back returns the value of its own step, although all
 * are pending at once. */
static void fetches_keep_their_order(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    enum { STEPS = 40 };
    Device *device = case_gpu();
    BoundProgram bound = {0};
    Store *store = NULL;
    Section *section;
    Tensor *x, *one;
    REQUIRE_OK(store_create(&store));
    REQUIRE_OK(store_section(store, "numbers", BUFFER_INPUTS, DTYPE_F32, &section));
    REQUIRE_OK(section_add(store, section, "x", 1, (int64_t[]){1}, &x));
    REQUIRE_OK(section_add(store, section, "one", 1, (int64_t[]){1}, &one));
    REQUIRE_OK(store_allocate(store, device));
    REQUIRE_OK(program_create(device->target, false, &bound.program));
    Program *p = bound.program;
    copy_record(p, x, one, true);
    REQUIRE_OK(bound_programs_plan(&bound, 1));
    Fetch fetches[STEPS];
    float value = 1;
    CHECK_OK(device_upload(device, one, &value));
    for (int i = 0; i < STEPS; i++) {
        CHECK_OK(device_replay(device, p));
        CHECK_OK(device_fetch_start(device, &fetches[i], x));
    }
    for (int i = 0; i < STEPS; i++) {
        CHECK_OK(device_fetch_finish(device, &fetches[i], &value));
        CHECK(value == (float)(i + 1));
    }
    OpTime time = {0};
    CHECK_OK(device_profile(device, p, &time));
    CHECK(time.node == p->nodes[0] && time.duration_s > 0);
    CHECK_OK(device_download(device, &value, x));
    CHECK(value == STEPS + 1);
    bound_programs_destroy(&bound, 1);
    store_destroy(&store);
}

/* Large state that each replay of `adds` increases by one; `reads` copies it elsewhere. */
enum { STATE_COUNT = 48 << 20, STATE_SHIFT = 256 };
typedef struct Counter {
    Device *device;
    Store *store;
    Tensor *state, *ones, *other;
    BoundProgram programs[2]; /* adds, reads */
    Program *adds, *reads;
    float *memory, *host; /* pinned; a place inside of it, as of a shard */
} Counter;

static Status counter_record(Counter *c) {
    Section *weights, *numbers;
    const int64_t shape[] = {STATE_COUNT};
    TRY(store_create(&c->store));
    TRY(store_section(c->store, "weights", BUFFER_WEIGHTS, DTYPE_F32, &weights));
    TRY(store_section(c->store, "numbers", BUFFER_INPUTS, DTYPE_F32, &numbers));
    TRY(section_add(c->store, weights, "state", 1, shape, &c->state));
    TRY(section_add(c->store, numbers, "ones", 1, shape, &c->ones));
    TRY(section_add(c->store, numbers, "other", 1, shape, &c->other));
    TRY(store_allocate(c->store, c->device));
    for (int i = 0; i < 2; i++)
        TRY(program_create(c->device->target, false, &c->programs[i].program));
    c->adds = c->programs[0].program, c->reads = c->programs[1].program;
    copy_record(c->adds, c->other, c->ones, false); /* no state: before the wait */
    copy_record(c->adds, c->state, c->ones, true);
    copy_record(c->reads, c->other, c->state, false);
    return bound_programs_plan(c->programs, 2);
}

static Status counter_create(Counter *c) {
    *c = (Counter){.device = case_gpu()};
    TRY(counter_record(c));
    void *pinned = NULL;
    TRY(device_host_alloc(c->device, (STATE_COUNT + STATE_SHIFT) * sizeof(float), &pinned));
    c->memory = pinned;
    c->host = c->memory + STATE_SHIFT;
    for (int64_t i = 0; i < STATE_COUNT; i++) c->host[i] = 1;
    return device_upload(c->device, c->ones, c->host);
}

static void counter_destroy(Counter *c) {
    device_host_free(c->device, c->memory, (STATE_COUNT + STATE_SHIFT) * sizeof(float));
    bound_programs_destroy(c->programs, 2);
    store_destroy(&c->store);
}

/* After a copy that began when the state was `value`. */
static bool has_copied(const Counter *c, const float *host, int value) {
    if (!CHECK_OK(device_copy_wait(c->device))) return false;
    for (int64_t i = 0; i < STATE_COUNT; i++) {
        if (host[i] != (float)value) {
            fprintf(stderr, "element %lld of the copy: %g instead of %d\n", (long long)i,
                    (double)host[i], value);
            return false;
        }
    }
    return true;
}

/* In graphs, op by op, and by the host; the state changes while it is copied. */
static void a_copy_has_the_state_of_its_beginning(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    enum { REPEATS = 30 };
    Counter c;
    OpTime times[2];
    int value = 0;
    float *zeros = calloc(STATE_COUNT, sizeof *zeros);
    REQUIRE_OK(counter_create(&c));
    CHECK_OK(device_replay(c.device, c.adds)); /* captures the graph before any copy */
    value++;
    for (int i = 0; i < REPEATS; i++) {
        CHECK_OK(device_copy_start(c.device, c.host, c.state));
        CHECK_OK(device_replay(c.device, c.adds));
        CHECK_OK(device_replay(c.device, c.adds));
        bool is_good = has_copied(&c, c.host, value);
        value += 2;
        CHECK_OK(device_copy_start(c.device, c.host, c.state));
        CHECK_OK(device_profile(c.device, c.adds, times));
        is_good = is_good && has_copied(&c, c.host, value);
        value++;
        CHECK(is_good);
        if (!is_good) break;
    }
    CHECK_OK(device_copy_start(c.device, c.host, c.state));
    CHECK_OK(device_upload(c.device, c.state, zeros));
    CHECK(has_copied(&c, c.host, value));
    free(zeros);
    counter_destroy(&c);
}

/* A step's forward and backward pass do not write state. */
static void what_reads_the_state_does_not_wait_for_its_copy(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    Counter c;
    double reading = 1e9, copying = 1e9;
    REQUIRE_OK(counter_create(&c));
    CHECK_OK(device_replay(c.device, c.reads));
    for (int i = 0; i < 5; i++) {
        double begin = clock_seconds();
        CHECK_OK(device_copy_start(c.device, c.host, c.state));
        CHECK_OK(device_replay(c.device, c.reads));
        CHECK_OK(device_synchronize(c.device));
        reading = fmin(reading, clock_seconds() - begin);
        CHECK_OK(device_copy_wait(c.device));
        copying = fmin(copying, clock_seconds() - begin);
    }
    fprintf(stderr, "%d MB: read beside the copy in %.2f ms, copied in %.2f ms\n",
            (int)(STATE_COUNT * sizeof(float) / 1000000), 1e3 * reading, 1e3 * copying);
    CHECK(reading < 0.5 * copying);
    counter_destroy(&c);
}

static void memory_that_is_not_pinned_is_copied_to_at_once(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    Counter c;
    float *ordinary = malloc(STATE_COUNT * sizeof(float));
    REQUIRE_OK(counter_create(&c));
    CHECK_OK(device_copy_start(c.device, ordinary, c.state));
    CHECK_OK(device_replay(c.device, c.adds));
    CHECK(has_copied(&c, ordinary, 0));
    CHECK_OK(device_copy_start(c.device, ordinary, c.state));
    CHECK(has_copied(&c, ordinary, 1));
    counter_destroy(&c);
    free(ordinary);
}

enum { N = 256 };

/* The largest error of x w^T for random x and w, relative to a row's length; f64 sums are the
 * reference. */
static double product_error(bool tf32) {
    Device *device = NULL;
    BoundProgram bound = {0};
    float *values[3] = {malloc(sizeof(float[N * N])), malloc(sizeof(float[N * N])),
                        malloc(sizeof(float[N * N]))};
    double worst = -1;
    if (!CHECK_OK(device_open_cuda(0, &device)) ||
        !CHECK_OK(program_create(device->target, false, &bound.program)))
        return worst;
    Program *p = bound.program;
    device->tf32 = tf32;
    Tensor *x = program_tensor(p, BUFFER_INPUTS, DTYPE_F32, 2, (int64_t[]){N, N});
    Tensor *w = program_tensor(p, BUFFER_INPUTS, DTYPE_F32, 2, (int64_t[]){N, N});
    Tensor *y = linear_record(p, x, w, NULL, false);
    bool good = CHECK_OK(bound_programs_plan(&bound, 1)) &&
                CHECK_OK(bound_programs_bind(&bound, 1, device, "a test"));
    for (int i = 0; i < N * N; i++) {
        values[0][i] = rng_uniform(philox(1, (uint64_t)i, 0).word[0]);
        values[1][i] = rng_uniform(philox(1, (uint64_t)i, 0).word[1]) - 0.5f;
    }
    good = good && CHECK_OK(device_upload(device, x, values[0])) &&
           CHECK_OK(device_upload(device, w, values[1])) && CHECK_OK(device_replay(device, p)) &&
           CHECK_OK(device_download(device, values[2], y));
    for (int i = 0; i < N * N && good; i++) {
        double sum = 0;
        for (int k = 0; k < N; k++)
            sum += (double)values[0][i / N * N + k] * (double)values[1][i % N * N + k];
        worst = fmax(worst, fabs(sum - (double)values[2][i]) / sqrt(N));
    }
    bound_programs_destroy(&bound, 1);
    device_close(&device);
    for (int i = 0; i < 3; i++) free(values[i]);
    return worst;
}

static void rounds_to_tf32_only_where_asked(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    double exact = product_error(false), rounded = product_error(true);
    CHECK(exact >= 0 && exact < 2e-6);
    CHECK(rounded > 1e-5 && rounded < 2e-3);
}

static void knows_itself(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *device = case_gpu();
    size_t free_bytes, total_bytes;
    CHECK(device->target.kind == DEVICE_CUDA && device->target.sm >= 80 &&
          device->target.n_sms > 0);
    CHECK(strlen(device->name) > 0);
    REQUIRE_OK(device_memory(device, &free_bytes, &total_bytes));
    CHECK(free_bytes > 0 && free_bytes < total_bytes);
    CHECK(device->context_bytes > device->coming_bytes && device->context_bytes < total_bytes);
    CHECK(device->workspace_bytes > 0 && device->peak_bytes >= 0);
    void *memory = NULL;
    CHECK_ERROR(device_alloc(device, 2 * total_bytes, "a test", &memory), STATUS_OUT_OF_MEMORY,
                "not enough memory for");
}

static void names_what_is_missing(void) {
    Device *device = NULL;
    if (device_count_cuda() == 0) {
        CHECK_ERROR(device_open_cuda(0, &device), STATUS_CONFIG, "device: cpu");
    } else {
        CHECK_ERROR(device_open_cuda(99, &device), STATUS_CONFIG, "CUDA_VISIBLE_DEVICES");
    }
    CHECK(device == NULL);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(copies),
                          TEST(fetches_keep_their_order),
                          TEST(knows_itself),
                          TEST(a_copy_has_the_state_of_its_beginning),
                          TEST(what_reads_the_state_does_not_wait_for_its_copy),
                          TEST(memory_that_is_not_pinned_is_copied_to_at_once),

                          TEST(rounds_to_tf32_only_where_asked),
                          TEST(names_what_is_missing)};
    return harness_run(argc, argv, "the GPU as a device", tests, COUNT(tests));
}
