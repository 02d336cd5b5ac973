/* The GPU's attention backends: over a matrix of head sizes, masks, lengths and precisions against a reference in f64,
 * and in a program with the model's packed projection against the CPU's. The flash kernels by themselves are checked in
 * test_attention_kernels.cu. */
#include "nn/attention/attention.h"
#include "tests/gpu/attention_composition_helper.h"
#include "tests/gpu/attention_matrix_helper.h"
#include "tests/gpu/cases_helper.h"

#include <string.h>

static AttentionChoice choice; /* on the GPU */
static const AttentionChoice reference = {.count = 1, .names = {"math"}};

static void attention_case(Case *c, int64_t B, int64_t T, int64_t NH, int64_t HS, double dropout) {
    StepState state = {.seed = 99, .step = 3, .first_sample = 2, .adam_step = 4, .lr = 1e-3f, .loss_scale = 1};
    Tensor *qkv = case_activation(c, 0, 1, false, SHAPE(B, T, 3 * NH * HS));
    bool is_reference = case_role(c) == CASE_REFERENCE, is_math = strcmp(choice.names[0], "math") == 0;
    ComposedAttention composed = {.NH = NH, .dropout = dropout, .prescaled = is_math, .dtype = case_dtype(c)};
    AttentionOptions options = {
        .choice = is_reference ? &reference : &choice, .dropout = dropout, .step = case_step(c, state)};
    Tensor *out = case_role(c) == CASE_COMPOSITION
                      ? attention_composed_record(case_program(c), qkv, options.step, composed)
                      : attention_record(case_program(c), qkv, NH, &options);
    case_differentiate(c, out);
}

static void gpt2(Case *c) { attention_case(c, 2, 256, 3, 64, 0); }
static void ragged(Case *c) { attention_case(c, 3, 77, 2, 32, 0); }
static void one_token(Case *c) { attention_case(c, 2, 1, 2, 64, 0); }
static void wide_heads(Case *c) { attention_case(c, 1, 130, 2, 128, 0); }
static void dropped(Case *c) { attention_case(c, 2, 96, 2, 64, 0.2); }
static void odd_heads(Case *c) { attention_case(c, 2, 33, 3, 5, 0.1); }

static void composition_of(const char *backend) {
    choice = (AttentionChoice){.count = 1, .names = {backend}};
    case_run_composition(ragged, "ragged");
    case_run_composition(dropped, "dropped");
    case_run_composition(odd_heads, "odd_heads");
}

static void compositions(void) {
    composition_of("math");
    composition_of("flash");
}

static void run_with(const char *backend, DType dtype, bool any_head_size) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *device = case_gpu();
    if (device == NULL) return;
    choice = (AttentionChoice){.count = 1, .names = {backend}};
    case_run(gpt2, "gpt2", device, dtype);
    case_run(ragged, "ragged", device, dtype);
    case_run(one_token, "one_token", device, dtype);
    case_run(wide_heads, "wide_heads", device, dtype);
    case_run(dropped, "dropped", device, dtype);
    if (any_head_size) case_run(odd_heads, "odd_heads", device, dtype);
}

typedef struct Mask {
    CausalMask causal;
    int64_t window;
    ShapeRanges ranges;
    int pieces;
} Mask;

static const Mask masks[] = {
    {CAUSAL_NONE, 0, SHAPE_ALL, 0},           {CAUSAL_UPPER_LEFT, 0, SHAPE_ALL, 0},
    {CAUSAL_LOWER_RIGHT, 0, SHAPE_ALL, 0},    {CAUSAL_UPPER_LEFT, 17, SHAPE_ALL, 0},
    {CAUSAL_LOWER_RIGHT, 70, SHAPE_ALL, 0},   {CAUSAL_NONE, 0, SHAPE_LENGTHS, 0},
    {CAUSAL_LOWER_RIGHT, 9, SHAPE_PACKED, 4}, {CAUSAL_UPPER_LEFT, 0, SHAPE_DOCUMENTS, 5},
};
enum { MASKS = sizeof masks / sizeof *masks, MATRIX = 2 * MASKS };

static const int64_t short_lengths[][2] = {{1, 1}, {63, 65}, {64, 64}, {65, 127}, {127, 63}, {127, 127}, {1, 64}};
static const int64_t longer_lengths[][2] = {{127, 300}, {1000, 1000}, {200, 129}, {1024, 1024}, {256, 256}};

/* Each mask with two pairs of lengths, which move on with the head size, as do dropout, groups of heads and layouts. */
static void matrix_fill(int64_t HS, int turn, AttentionShape *shapes) {
    for (int m = 0; m < MASKS; m++) {
        for (int k = 0; k < 2; k++) {
            const int64_t *T = k == 0 ? short_lengths[(m + 3 * turn) % 7] : longer_lengths[(m + 2 * turn) % 5];
            shapes[2 * m + k] = (AttentionShape){
                .B = T[0] < 1000 ? 2 : 1,
                .NH = 2,
                .NH_kv = 1 + (m + turn) % 2,
                .Tq = T[0],
                .Tk = T[1],
                .HS = HS,
                .causal = masks[m].causal,
                .window = masks[m].window,
                .dropout = (m + k + turn) % 3 == 0 ? 0.2 : 0,
                .head_major = (m + k) % 2 == 0,
                .ranges = masks[m].ranges,
                .pieces = masks[m].pieces,
                .seed = (uint64_t)(HS * 100 + 2 * m + k),
            };
        }
    }
}

enum { ALL_PRECISIONS = (1 << PRECISIONS) - 1 };

static void matrix_of(int64_t HS, int turn) {
    AttentionShape shapes[MATRIX];
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *device = case_gpu();
    if (device == NULL) return;
    matrix_fill(HS, turn, shapes);
    matrix_check(device, shapes, MATRIX, ALL_PRECISIONS, NULL);
}

static void heads_of_32(void) { matrix_of(32, 0); }
static void heads_of_64(void) { matrix_of(64, 1); }
static void heads_of_80(void) { matrix_of(80, 2); }
static void heads_of_96(void) { matrix_of(96, 3); }
static void heads_of_128(void) { matrix_of(128, 4); }
static void heads_of_256(void) { matrix_of(256, 5); }

/* Rows that allow accesses of 16, 8, 4 and 2 bytes, some shorter than any tile. */
static void ragged_heads(void) {
    static const int64_t sizes[] = {1, 5, 20, 40, 72, 100, 250};
    AttentionShape shapes[2 * COUNT(sizes)], of_size[MATRIX];
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *device = case_gpu();
    if (device == NULL) return;
    for (int i = 0; i < (int)COUNT(sizes); i++) {
        matrix_fill(sizes[i], i, of_size);
        shapes[2 * i] = of_size[2 * i], shapes[2 * i + 1] = of_size[2 * i + 2];
    }
    matrix_check(device, shapes, COUNT(shapes), ALL_PRECISIONS, NULL);
}

static void long_rows(void) {
    AttentionShape shape = {.B = 1, .NH = 1, .NH_kv = 1, .Tq = 4096, .Tk = 4096, .HS = 64, .causal = CAUSAL_UPPER_LEFT};
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *device = case_gpu();
    if (device != NULL) matrix_check(device, &shape, 1, ALL_PRECISIONS, NULL);
}

static void biases(void) {
    static const char *const dims[] = {"bhq", "hq", "q", "b", "", "h", "bq"};
    AttentionShape shapes[2 * COUNT(dims)], of_size[MATRIX];
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *device = case_gpu();
    if (device == NULL) return;
    matrix_fill(32, 0, of_size);
    for (int i = 0; i < (int)COUNT(shapes); i++) {
        shapes[i] = of_size[(3 * i + 1) % MATRIX];
        shapes[i].bias = i % 2 == 0 ? BIAS_ADDITIVE : BIAS_BOOLEAN;
        shapes[i].bias_dims = dims[i / 2];
    }
    matrix_check(device, shapes, COUNT(shapes), ALL_PRECISIONS, NULL);
}

/* What compute-sanitizer has the time for. */
static void few_of_mem_efficient(void) {
    static const int64_t sizes[] = {32, 64, 80, 100, 128, 256, 5};
    AttentionShape shapes[2 * COUNT(sizes)], of_size[MATRIX];
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *device = case_gpu();
    if (device == NULL) return;
    for (int i = 0; i < (int)COUNT(sizes); i++) {
        matrix_fill(sizes[i], i, of_size);
        for (int k = 0; k < 2; k++) {
            shapes[2 * i + k] = of_size[2 * ((i + 3 * k) % MASKS)];
            shapes[2 * i + k].B = shapes[2 * i + k].NH_kv = 1;
        }
    }
    matrix_check(device, shapes, COUNT(shapes), ALL_PRECISIONS, "mem_efficient");
}

static void baseline_f32(void) { run_with("baseline", DTYPE_F32, true); }
static void baseline_f16(void) { run_with("baseline", DTYPE_F16, true); }
static void baseline_bf16(void) { run_with("baseline", DTYPE_BF16, true); }
static void math_f32(void) { run_with("math", DTYPE_F32, true); }
static void math_f16(void) { run_with("math", DTYPE_F16, true); }
static void math_bf16(void) { run_with("math", DTYPE_BF16, true); }
static void mem_efficient_f32(void) { run_with("mem_efficient", DTYPE_F32, true); }
static void mem_efficient_f16(void) { run_with("mem_efficient", DTYPE_F16, true); }
static void mem_efficient_bf16(void) { run_with("mem_efficient", DTYPE_BF16, true); }
static void flash_f16(void) { run_with("flash", DTYPE_F16, false); }
static void flash_bf16(void) { run_with("flash", DTYPE_BF16, false); }

static void flash_refuses_f32(void) {
    Target target = {.kind = DEVICE_CUDA, .sm = 90, .n_sms = 132};
    AttentionCall call = attention_call_packed(DTYPE_F32, 1, 64, 2, 64, 0, true);
    AttentionVerdict verdicts[ATTENTION_MAX_BACKENDS];
    const AttentionBackend *backend = NULL;
    int count;
    choice = (AttentionChoice){.count = 1, .names = {"flash"}};
    CHECK_ERROR(attention_pick(&call, &target, &choice, verdicts, &count, &backend), STATUS_CONFIG, "flash: ");
}

/* Where flash refuses, the default is mem_efficient: f32 on a GPU trains without anything of size T^2. */
static void f32_takes_mem_efficient(void) {
    Target target = {.kind = DEVICE_CUDA, .sm = 90, .n_sms = 132};
    AttentionCall call = attention_call_packed(DTYPE_F32, 1, 64, 2, 64, 0, true);
    AttentionVerdict verdicts[ATTENTION_MAX_BACKENDS];
    const AttentionBackend *backend = NULL;
    int count;
    AttentionChoice any = {0};
    if (device_count_cuda() == 0) SKIP("no GPU");
    REQUIRE_OK(attention_pick(&call, &target, &any, verdicts, &count, &backend));
    CHECK(strcmp(backend->name, "mem_efficient") == 0);
    CHECK(!backend->saves_weights);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(compositions),
                          TEST(baseline_f32),
                          TEST(baseline_f16),
                          TEST(baseline_bf16),
                          TEST(math_f32),
                          TEST(math_f16),
                          TEST(math_bf16),
                          TEST(mem_efficient_f32),
                          TEST(mem_efficient_f16),
                          TEST(mem_efficient_bf16),
                          TEST(flash_f16),
                          TEST(flash_bf16),
                          TEST(flash_refuses_f32),
                          TEST(f32_takes_mem_efficient),
                          TEST(heads_of_32),
                          TEST(heads_of_64),
                          TEST(heads_of_80),
                          TEST(heads_of_96),
                          TEST(heads_of_128),
                          TEST(heads_of_256),
                          TEST(ragged_heads),
                          TEST(long_rows),
                          TEST(biases),
                          TEST(few_of_mem_efficient)};
    return harness_run(argc, argv, "attention on the GPU", tests, COUNT(tests));
}
