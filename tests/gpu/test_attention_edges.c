/* The GPU's attention backends with extreme floating-point values:
 * tests/nn/attention_edges_helper.h. */
#include "tests/gpu/cases_helper.h"
#include "tests/nn/attention_edge_cases_helper.h"
#include "tests/nn/attention_edges_helper.h"

static const struct {
    DType dtype;
    bool tf32;
} precisions[] = {{DTYPE_BF16, false}, {DTYPE_F16, false}, {DTYPE_F32, false}, {DTYPE_F32, true}};

static Device *gpu_in(size_t precision) {
    Device *gpu = case_gpu();
    gpu->tf32 = precisions[precision].tf32;
    return gpu;
}

static void equal_scores(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    for (size_t i = 0; i < COUNT(precisions); i++) {
        edges_equal_scores(gpu_in(i), precisions[i].dtype, case_sanitized() ? 1 : 6);
    }
}

static void two_keys(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    for (size_t i = 0; i < COUNT(precisions); i++) edges_two_keys(gpu_in(i), precisions[i].dtype);
}

static void long_rows(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    for (size_t i = 0; i < COUNT(precisions); i++) {
        edges_long_rows(gpu_in(i), precisions[i].dtype, case_sanitized() ? 1024 : 16384);
    }
}

static void cases(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    for (size_t i = 0; i < COUNT(precisions); i++) edges_cases(gpu_in(i), precisions[i].dtype);
}

/* In the dtypes of the fused backward pass. */
static void long_cases(void) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    for (size_t i = 0; i < 2; i++) edges_long_cases(gpu_in(i), precisions[i].dtype);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(equal_scores), TEST(two_keys), TEST(long_rows), TEST(cases),
                          TEST(long_cases)};
    return harness_run(argc, argv, "attention at the edges on the GPU", tests, COUNT(tests));
}
