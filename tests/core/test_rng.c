/* The known answers of Philox4x32-10, and the dropout masks made from it. */
#include "core/bound_program.h"
#include "core/ops/dropout.h"
#include "core/rng.h"
#include "core/step.h"
#include "core/store.h"
#include "tests/harness.h"

#include <math.h>
#include <string.h>

static bool is_words(Philox got, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    const uint32_t wanted[] = {a, b, c, d};
    return memcmp(got.word, wanted, sizeof wanted) == 0;
}

/* Random123's kat_vectors: philox4x32 10. */
static void known_answers(void) {
    CHECK(is_words(philox(0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
    CHECK(is_words(philox(UINT64_MAX, UINT64_MAX, UINT64_MAX), 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
                   0x6d5451fd));
    CHECK(is_words(philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e), 0xd16cfe09,
                   0x94fdcceb, 0x5001e420, 0x24126ea1));
}

static void uniform_bounds(void) {
    CHECK(rng_uniform(0) == 0.0f && rng_uniform(UINT32_MAX) < 1.0f &&
          rng_uniform(1u << 31) == 0.5f);
    CHECK(rng_threshold(0) == 0 && rng_threshold(0.5) == 1u << 31 &&
          rng_threshold(0.25) == 1u << 30);
    CHECK(rng_counter(0, 1) != rng_counter(1, 0) && rng_counter(2, 3) == (2u << 24) + 3);
}

/* One dropout op over ones (B, 3, 7), or over larger rows: its output is the mask times the
 * scale. */
typedef struct Mask {
    Device *device;
    Store *store;
    BoundProgram bound;
    Tensor *x, *step;
    const Tensor *y;
} Mask;

static Status mask_create(Mask *mask, int64_t B, int64_t columns, double probability) {
    Section *reals, *bytes;
    *mask = (Mask){0};
    TRY(device_open_cpu(2, &mask->device));
    TRY(store_create(&mask->store));
    TRY(store_section(mask->store, "reals", BUFFER_INPUTS, DTYPE_F32, &reals));
    TRY(store_section(mask->store, "bytes", BUFFER_INPUTS, DTYPE_U8, &bytes));
    TRY(section_add(mask->store, reals, "x", 3, (int64_t[]){B, 3, columns}, &mask->x));
    TRY(section_add(mask->store, bytes, "step", 1, (int64_t[]){sizeof(StepState)}, &mask->step));
    TRY(store_allocate(mask->store, mask->device));
    TRY(program_create(mask->device->target, true, &mask->bound.program));
    mask->y = dropout_record(mask->bound.program, mask->x, probability, mask->step);
    TRY(bound_programs_plan(&mask->bound, 1));
    TRY(bound_programs_bind(&mask->bound, 1, mask->device, "a test"));
    float *x = tensor_data(mask->x);
    for (int64_t i = 0; i < tensor_count(mask->x); i++) x[i] = 1;
    return OK;
}

static const float *mask_draw(Mask *mask, uint64_t seed, uint64_t step, int64_t first_sample) {
    StepState state = {.seed = seed, .step = step, .first_sample = first_sample};
    CHECK_OK(device_upload(mask->device, mask->step, &state));
    CHECK_OK(device_replay(mask->device, mask->bound.program));
    return tensor_data(mask->y);
}

static void mask_destroy(Mask *mask) {
    bound_programs_destroy(&mask->bound, 1);
    store_destroy(&mask->store);
    device_close(&mask->device);
}

/* The drop rate is within 5 standard deviations of p; the other elements are scaled exactly. */
static void dropout_rate(void) {
    const double rates[] = {0.1, 0.25, 0.5, 0.9};
    for (size_t k = 0; k < COUNT(rates); k++) {
        Mask mask;
        REQUIRE_OK(mask_create(&mask, 64, 1000, rates[k]));
        const float *y = mask_draw(&mask, 1337, 12, 0);
        double count = (double)tensor_count(mask.x), dropped = 0;
        bool scaled = true;
        for (int64_t i = 0; i < tensor_count(mask.x); i++) {
            dropped += y[i] == 0;
            scaled &= y[i] == 0 || y[i] == (float)(1 / (1 - rates[k]));
        }
        CHECK(scaled);
        CHECK(fabs(dropped - rates[k] * count) <= 5 * sqrt(rates[k] * (1 - rates[k]) * count));
        mask_destroy(&mask);
    }
}

/* Rows 0..7 at once, or 0..3 and then 4..7: the same masks for any row size modulo four. */
static void mask_is_of_the_global_batch(void) {
    const int64_t columns[] = {1, 4, 5, 7, 64};
    for (size_t k = 0; k < COUNT(columns); k++) {
        Mask whole, half;
        REQUIRE_OK(mask_create(&whole, 8, columns[k], 0.3));
        REQUIRE_OK(mask_create(&half, 4, columns[k], 0.3));
        const float *all = mask_draw(&whole, 7, 5, 16);
        size_t bytes = tensor_bytes(half.x);
        CHECK(memcmp(all, mask_draw(&half, 7, 5, 16), bytes) == 0);
        CHECK(memcmp((const char *)all + bytes, mask_draw(&half, 7, 5, 20), bytes) == 0);
        mask_destroy(&whole);
        mask_destroy(&half);
    }
}

static void masks_differ(void) {
    Mask mask;
    float first[8 * 3 * 64];
    REQUIRE_OK(mask_create(&mask, 8, 64, 0.5));
    memcpy(first, mask_draw(&mask, 7, 5, 0), sizeof first);
    CHECK(memcmp(first, mask_draw(&mask, 7, 5, 0), sizeof first) == 0);
    CHECK(memcmp(first, mask_draw(&mask, 7, 6, 0), sizeof first) != 0);
    CHECK(memcmp(first, mask_draw(&mask, 8, 5, 0), sizeof first) != 0);
    CHECK(memcmp(first, mask_draw(&mask, 7, 5, 8), sizeof first) != 0);
    mask_destroy(&mask);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(known_answers), TEST(uniform_bounds), TEST(dropout_rate),
                          TEST(mask_is_of_the_global_batch), TEST(masks_differ)};
    return harness_run(argc, argv, "rng", tests, COUNT(tests));
}
