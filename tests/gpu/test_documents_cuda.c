/* The GPU finds the same documents as the CPU: rows within a warp, a block and beyond, with
 * separators everywhere and nowhere. */
#include "tests/gpu/cases_helper.h"
#include "tests/nn/documents_helper.h"

#include <string.h>

enum { ROWS = 3, MOST = 5000 };

static void documents_are_the_same(void) {
    static const int64_t lengths[] = {1, 31, 32, 33, 255, 256, 257, 1000, 1024, MOST};
    static const uint32_t rarities[] = {1, 2, 40, 300, 1000000};
    static int32_t tokens[ROWS * MOST], wanted[2 * ROWS * MOST], got[2 * ROWS * MOST];
    Device *cpu = NULL;
    if (device_count_cuda() == 0) SKIP("no GPU");
    REQUIRE_OK(device_open_cpu(1, &cpu));
    for (size_t k = 0; k < COUNT(lengths); k++) {
        for (size_t r = 0; r < COUNT(rarities); r++) {
            int64_t T = lengths[k];
            documents_random(ROWS * T, rarities[r], k, tokens);
            CHECK_OK(documents_by(cpu, ROWS, T, tokens, wanted));
            CHECK_OK(documents_by(case_gpu(), ROWS, T, tokens, got));
            CHECK(memcmp(got, wanted, (size_t)(2 * ROWS * T) * sizeof *got) == 0);
        }
    }
    device_close(&cpu);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(documents_are_the_same)};
    return harness_run(argc, argv, "documents on the GPU", tests, COUNT(tests));
}
