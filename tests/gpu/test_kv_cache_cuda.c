/* Generation on the GPU, with the cache: in f32 the logits of the CPU; in bf16 at most twice the
 * error of the whole text at once in bf16. */
#include "tests/gpu/cases_helper.h"
#include "tests/nn/kv_cache_helper.h"

#include <math.h>
#include <stdio.h>

enum { C = 128 }; /* heads of 32 and 64 channels, so that flash serves bf16 */

static Device *cpu;

static double errors(const CachedCase *family, DType dtype, const CachedModel *wanted,
                     double *whole) {
    static const int64_t prompts[] = {0, 8, 21};
    CachedModel m;
    double worst = 0, one = 0;
    if (CHECK_OK(cached_open(family->config, C, case_gpu(), dtype, &m)) &&
        CHECK_OK(cached_run_whole(&m))) {
        *whole = cached_whole_error(&m, wanted);
        for (size_t i = 0; i < COUNT(prompts); i++) {
            CHECK_OK(cached_compare(&m, wanted, prompts[i], &one));
            worst = fmax(worst, one);
        }
    }
    cached_close(&m);
    return worst;
}

static void family_agrees(const CachedCase *family) {
    CachedModel wanted;
    double whole = INFINITY;
    if (CHECK_OK(cached_open(family->config, C, cpu, DTYPE_F32, &wanted)) &&
        CHECK_OK(cached_run_whole(&wanted))) {
        double single = errors(family, DTYPE_F32, &wanted, &whole);
        printf("\n    %s: f32 %.1e", family->name, single);
        CHECK_CLOSE(single, 0, 2e-5);
        double half = errors(family, DTYPE_BF16, &wanted, &whole);
        printf(", bf16 %.1e, whole %.1e", half, whole);
        CHECK(half <= 2 * whole);
    }
    cached_close(&wanted);
}

static void every_family_agrees_with_the_cpu(void) {
    if (case_gpu() == NULL) SKIP("no GPU");
    for (int i = 0; i < n_cached_cases; i++) family_agrees(&cached_cases[i]);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(every_family_agrees_with_the_cpu)};
    if (failed(device_open_cpu(2, &cpu))) return 1;
    int code = harness_run(argc, argv, "KV cache on the GPU", tests, COUNT(tests));
    device_close(&cpu);
    return code;
}
