/* The GPU's attention backends in a program with the model's packed projection, against f64 on the
 * CPU. test_attention_matrix.c checks the separate calls, test_attention_kernels.cu the flash
 * kernels. */
#include "nn/attention/attention.h"
#include "tests/gpu/attention_composition_helper.h"
#include "tests/gpu/cases_helper.h"

#include <string.h>

static KernelChoice choice; /* on the GPU */
static const KernelChoice reference = {.count = 1, .names = {"math"}};

static void attention_case(Case *c, int64_t B, int64_t T, int64_t NH, int64_t HS, double dropout) {
    StepState state = {
        .seed = 99, .step = 3, .first_sample = 2, .adam_step = 4, .lr = 1e-3f, .loss_scale = 1};
    Tensor *qkv = case_activation(c, 0, 1, false, SHAPE(B, T, 3 * NH * HS));
    bool is_reference = case_role(c) == CASE_REFERENCE,
         is_math = strcmp(choice.names[0], "math") == 0;
    ComposedAttention composed = {
        .NH = NH, .dropout = dropout, .prescaled = is_math, .dtype = case_dtype(c)};
    AttentionOptions options = {.choice = is_reference ? &reference : &choice,
                                .NH = NH,
                                .dropout = dropout,
                                .step = case_step(c, state)};
    Tensor *out = case_role(c) == CASE_COMPOSITION
                      ? attention_composed_record(case_program(c), qkv, options.step, composed)
                      : attention_record(case_program(c), qkv, &options);
    case_differentiate(c, out);
}

static void gpt2(Case *c) { attention_case(c, 2, 256, 3, 64, 0); }
static void ragged(Case *c) { attention_case(c, 3, 77, 2, 32, 0); }
static void one_token(Case *c) { attention_case(c, 2, 1, 2, 64, 0); }
static void wide_heads(Case *c) { attention_case(c, 1, 130, 2, 128, 0); }
static void dropped(Case *c) { attention_case(c, 2, 96, 2, 64, 0.2); }
static void odd_heads(Case *c) { attention_case(c, 2, 33, 3, 5, 0.1); }

static void composition_of(const char *backend) {
    choice = (KernelChoice){.count = 1, .names = {backend}};
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
    choice = (KernelChoice){.count = 1, .names = {backend}};
    case_run(gpt2, "gpt2", device, dtype);
    case_run(ragged, "ragged", device, dtype);
    case_run(one_token, "one_token", device, dtype);
    case_run(wide_heads, "wide_heads", device, dtype);
    case_run(dropped, "dropped", device, dtype);
    if (any_head_size) case_run(odd_heads, "odd_heads", device, dtype);
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
    KernelVerdict verdicts[KERNEL_MAX_CHOICES];
    const AttentionBackend *backend = NULL;
    int count;
    choice = (KernelChoice){.count = 1, .names = {"flash"}};
    CHECK_ERROR(attention_pick(&call, &target, &choice, verdicts, &count, &backend), STATUS_CONFIG,
                "flash: ");
}

/* If flash refuses, the default is mem_efficient: f32 on a GPU trains without tensors of size
 * T^2. */
static void f32_takes_mem_efficient(void) {
    Target target = {.kind = DEVICE_CUDA, .sm = 90, .n_sms = 132};
    AttentionCall call = attention_call_packed(DTYPE_F32, 1, 64, 2, 64, 0, true);
    KernelVerdict verdicts[KERNEL_MAX_CHOICES];
    const AttentionBackend *backend = NULL;
    int count;
    KernelChoice any = {0};
    if (device_count_cuda() == 0) SKIP("no GPU");
    REQUIRE_OK(attention_pick(&call, &target, &any, verdicts, &count, &backend));
    CHECK(strcmp(backend->forward.name, "mem_efficient") == 0);
    CHECK(!backend->saves_weights);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(compositions),      TEST(baseline_f32),
                          TEST(baseline_f16),      TEST(baseline_bf16),
                          TEST(math_f32),          TEST(math_f16),
                          TEST(math_bf16),         TEST(mem_efficient_f32),
                          TEST(mem_efficient_f16), TEST(mem_efficient_bf16),
                          TEST(flash_f16),         TEST(flash_bf16),
                          TEST(flash_refuses_f32), TEST(f32_takes_mem_efficient)};
    return harness_run(argc, argv, "attention on the GPU", tests, COUNT(tests));
}
