/* Frequencies of rotary embeddings against transformers (tests/golden/make_rope.py), and the table
 * of cosines and sines. */
#include "nn/rope.h"

#include "core/bound_program.h"
#include "tests/golden/golden.h"
#include "tests/harness.h"

#include <math.h>

typedef struct RopeCase {
    const char *name;
    int64_t HS;
    RopeOptions options;
} RopeCase;

static const RopeCase cases[] = {
    {"none", 64, {.base = 1e4, .fraction = 1}},
    {"none_partial", 80, {.base = 1024, .fraction = 0.4}},
    {"none_wide", 256, {.base = 1e6, .fraction = 1}},
    {"linear", 96, {.base = 1e4, .fraction = 1, .scaling = ROPE_SCALING_LINEAR, .factor = 2.5}},
    {"llama3",
     128,
     {.base = 5e5,
      .fraction = 1,
      .scaling = ROPE_SCALING_LLAMA3,
      .factor = 8,
      .low_freq_factor = 1,
      .high_freq_factor = 4,
      .original_positions = 8192}},
    {"llama3_small",
     64,
     {.base = 5e5,
      .fraction = 1,
      .scaling = ROPE_SCALING_LLAMA3,
      .factor = 32,
      .low_freq_factor = 1,
      .high_freq_factor = 4,
      .original_positions = 8192}},
    {"yarn",
     128,
     {.base = 1e6,
      .fraction = 1,
      .scaling = ROPE_SCALING_YARN,
      .factor = 4,
      .original_positions = 32768,
      .beta_fast = 32,
      .beta_slow = 1}},
    {"yarn_partial",
     128,
     {.base = 1e4,
      .fraction = 0.5,
      .scaling = ROPE_SCALING_YARN,
      .factor = 16,
      .original_positions = 4096,
      .beta_fast = 24,
      .beta_slow = 2,
      .attention_factor = 1.5}},
    {"yarn_short",
     64,
     {.base = 1.5e5,
      .fraction = 1,
      .scaling = ROPE_SCALING_YARN,
      .factor = 32,
      .original_positions = 128,
      .beta_fast = 32,
      .beta_slow = 1}},
};

static Golden golden;

static void check_case(const RopeCase *c) {
    RopeFrequencies f;
    const GoldenRecord *record = golden_find(&golden, c->name);
    if (!CHECK_OK(rope_frequencies(&c->options, c->HS, &f))) return;
    bool is_comparable = record != NULL && record->count == f.pairs + 1;
    CHECK(is_comparable);
    if (!is_comparable) return;
    for (int i = 0; i < f.pairs; i++) {
        double wanted = (double)record->values[i]; /* computed in f32 */
        if (fabs(f.radians[i] - wanted) <= 2e-6 * wanted) continue;
        printf("\n    %s: radians[%d] is %.9g, transformers has %.9g", c->name, i, f.radians[i],
               wanted);
        CHECK(false);
    }
    CHECK_CLOSE(f.magnitude, (double)record->values[f.pairs], 1e-6);
}

static void frequencies_are_those_of_transformers(void) {
    CHECK(golden.n_records == COUNT(cases));
    for (size_t i = 0; i < COUNT(cases); i++) check_case(&cases[i]);
}

static void bad_options_are_refused(void) {
    RopeFrequencies f;
    RopeOptions o = {.base = 1e4, .fraction = 0.3};
    CHECK_ERROR(rope_frequencies(&o, 50, &f), STATUS_CONFIG,
                "rope: fraction 0.3 of 50 dimensions is 15, which is not an even number");
    o.fraction = 1.5;
    CHECK_ERROR(rope_frequencies(&o, 64, &f), STATUS_CONFIG, "fraction 1.5 of 64");
    o.fraction = 1;
    CHECK_ERROR(rope_frequencies(&o, 258, &f), STATUS_CONFIG, "258 dimensions of a head rotate");
    o.base = 1;
    CHECK_ERROR(rope_frequencies(&o, 64, &f), STATUS_CONFIG, "base 1 is not above 1");
    o = (RopeOptions){.base = 1e4, .fraction = 1, .scaling = ROPE_SCALING_LINEAR, .factor = 0.5};
    CHECK_ERROR(rope_frequencies(&o, 64, &f), STATUS_CONFIG, "factor 0.5 is below 1");
    o.scaling = ROPE_SCALING_LLAMA3, o.factor = 2;
    CHECK_ERROR(rope_frequencies(&o, 64, &f), STATUS_CONFIG, "original number of positions");
    o.original_positions = 64;
    CHECK_ERROR(rope_frequencies(&o, 64, &f), STATUS_CONFIG,
                "high_freq_factor 0 is not above low_freq_factor 0");
    o.scaling = ROPE_SCALING_YARN;
    CHECK_ERROR(rope_frequencies(&o, 64, &f), STATUS_CONFIG, "beta_fast 0 and beta_slow 0");
}

/* ---- the table ---- */

static const int32_t given[] = {0, 7, 1000003};

static double table_value(const RopeFrequencies *f, int64_t position, int64_t column) {
    double angle = (double)position * f->radians[column % f->pairs];
    return f->magnitude * (column < f->pairs ? cos(angle) : sin(angle));
}

static void table_check(const RopeFrequencies *f, const Tensor *table, const int32_t *positions) {
    for (int64_t i = 0; i < tensor_count(table); i++) {
        int64_t row = i / tensor_columns(table);
        double wanted =
            table_value(f, positions == NULL ? row : positions[row], i % tensor_columns(table));
        bool is_wide = table->dtype == DTYPE_F64;
        double found =
            is_wide ? ((double *)tensor_data(table))[i] : (double)((float *)tensor_data(table))[i];
        CHECK(fabs(found - wanted) <= (is_wide ? 0 : 6e-8 * f->magnitude));
    }
}

static void table_of(DType dtype, bool has_positions) {
    enum { ROWS = COUNT(given) };
    Buffer memory = {.bytes = sizeof given, .persistent = true, .data = (void *)given};
    Tensor positions = {.buffer = &memory, .dtype = DTYPE_I32, .n_dims = 1, .shape = {ROWS}};
    RopeFrequencies f;
    BoundProgram bound = {0};
    Device *device = NULL;
    REQUIRE_OK(rope_frequencies(&cases[COUNT(cases) - 1].options, 64, &f));
    REQUIRE_OK(device_open_cpu(1, &device));
    REQUIRE_OK(program_create(device->target, false, &bound.program));
    Tensor *table =
        rope_table_record(bound.program, &f, has_positions ? &positions : NULL, ROWS, dtype);
    if (CHECK_OK(bound_programs_plan(&bound, 1)) &&
        CHECK_OK(bound_programs_bind(&bound, 1, device, "the arena")) &&
        CHECK_OK(device_replay(device, bound.program)))
        table_check(&f, table, has_positions ? given : NULL);
    bound_programs_destroy(&bound, 1);
    device_close(&device);
}

static void tables(void) {
    table_of(DTYPE_F32, false);
    table_of(DTYPE_F32, true);
    table_of(DTYPE_F64, true);
}

static void bad_tables_are_refused(void) {
    Program *p = NULL;
    RopeFrequencies f = {.pairs = 0, .magnitude = 1};
    REQUIRE_OK(program_create((Target){.kind = DEVICE_CPU, .threads = 1}, false, &p));
    CHECK(rope_table_record(p, &f, NULL, 4, DTYPE_F32) == NULL);
    CHECK_ERROR(program_status(p), STATUS_CONFIG, "rope: 0 pairs, which is not within 1 to 128");
    program_destroy(&p);
    REQUIRE_OK(program_create((Target){.kind = DEVICE_CPU, .threads = 1}, false, &p));
    f.pairs = 4;
    Tensor *positions = program_tensor(p, BUFFER_INPUTS, DTYPE_I32, 1, (int64_t[]){5});
    CHECK(rope_table_record(p, &f, positions, 4, DTYPE_F32) == NULL);
    CHECK_ERROR(program_status(p), STATUS_CONFIG, "positions i32 (5) do not fit 4 rows");
    program_destroy(&p);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(frequencies_are_those_of_transformers),
                          TEST(bad_options_are_refused), TEST(tables),
                          TEST(bad_tables_are_refused)};
    Status status = golden_open("tests/golden/rope.bin", &golden);
    if (failed(status)) return status_report("test_rope", status);
    int code = harness_run(argc, argv, "rotary embeddings", tests, COUNT(tests));
    golden_close(&golden);
    return code;
}
