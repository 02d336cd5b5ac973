/* Every op on every device against f64, a campaign: on the CPU in f32 and bf16, on the GPU in f32,
 * f16 and bf16. sanitizers: no; tests/core/test_gradients.c and test_op_edges.c run the CPU's
 * kernels. */
#include "core/cpu/product_bf16.h"
#include "tests/gpu/op_cases_helper.h"

static void run(const NamedCase *cases, int count, Device *device, DType dtype) {
    for (int i = 0; i < count; i++) case_run(cases[i].body, cases[i].name, device, dtype);
}

static void cpu(DType dtype) {
    Device *cpu = NULL;
    REQUIRE_OK(device_open_cpu(0, &cpu));
    run(product_cases, n_product_cases, cpu, dtype);
    run(other_cases, n_other_cases, cpu, dtype);
    run(head_cases, n_head_cases, cpu, dtype);
    run(layer_cases, n_layer_cases, cpu, dtype);
    device_close(&cpu);
}

static void cpu_f32(void) { cpu(DTYPE_F32); }

static void cpu_bf16(void) {
    if (product_bf16_refusal() != NULL) SKIP(product_bf16_refusal());
    cpu(DTYPE_BF16);
}

static void compositions_of(const NamedCase *cases, int count) {
    for (int i = 0; i < count; i++) case_run_composition(cases[i].body, cases[i].name);
}

static void compositions(void) {
    compositions_of(product_cases, n_product_cases);
    compositions_of(other_cases, n_other_cases);
    compositions_of(head_cases, n_head_cases);
    compositions_of(layer_cases, n_layer_cases);
}

static void gpu(const NamedCase *cases, int count, DType dtype) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *device = case_gpu();
    if (device != NULL) run(cases, count, device, dtype);
}

static void products_f32(void) { gpu(product_cases, n_product_cases, DTYPE_F32); }
static void products_f16(void) { gpu(product_cases, n_product_cases, DTYPE_F16); }
static void products_bf16(void) { gpu(product_cases, n_product_cases, DTYPE_BF16); }
static void others_f32(void) { gpu(other_cases, n_other_cases, DTYPE_F32); }
static void others_f16(void) { gpu(other_cases, n_other_cases, DTYPE_F16); }
static void others_bf16(void) { gpu(other_cases, n_other_cases, DTYPE_BF16); }
static void heads_f32(void) { gpu(head_cases, n_head_cases, DTYPE_F32); }
static void heads_f16(void) { gpu(head_cases, n_head_cases, DTYPE_F16); }
static void heads_bf16(void) { gpu(head_cases, n_head_cases, DTYPE_BF16); }
static void layers_f32(void) { gpu(layer_cases, n_layer_cases, DTYPE_F32); }
static void layers_f16(void) { gpu(layer_cases, n_layer_cases, DTYPE_F16); }
static void layers_bf16(void) { gpu(layer_cases, n_layer_cases, DTYPE_BF16); }

/* Uses cuBLASLt's first suggestion instead of the fastest candidate (autotune: false). */
static void products_untuned(void) {
    Device *device = NULL;
    if (device_count_cuda() == 0) SKIP("no GPU");
    REQUIRE_OK(device_open_cuda(0, &device));
    device->autotune = false;
    run(product_cases, n_product_cases, device, DTYPE_BF16);
    device_close(&device);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(cpu_f32),      TEST(cpu_bf16),      TEST(compositions),     TEST(products_f32),
        TEST(products_f16), TEST(products_bf16), TEST(products_untuned), TEST(others_f32),
        TEST(others_f16),   TEST(others_bf16),   TEST(heads_f32),        TEST(heads_f16),
        TEST(heads_bf16),   TEST(layers_f32),    TEST(layers_f16),       TEST(layers_bf16)};
    return harness_run(argc, argv, "ops on every device", tests, COUNT(tests));
}
