/* Ceilings are measured once and kept; predictions follow from them, for a planning device too. */
#include "core/ops/linear.h"
#include "core/perf/ceilings.h"
#include "core/perf/peak.h"
#include "core/perf/predict.h"
#include "core/plan.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void data_sheets(void) {
    CHECK(peak_find("NVIDIA H200").half == 989.4e12 && peak_find("NVIDIA H200").bytes == 4.8e12);
    CHECK(peak_find("NVIDIA H200 NVL").half < peak_find("NVIDIA H200").half);
    CHECK(peak_find("NVIDIA A100-SXM4-80GB").bytes > peak_find("NVIDIA A100-PCIE-40GB").bytes);
    CHECK(peak_find("something else").half == 0 && peak_find("something else").bytes == 0);
    CHECK(strcmp(peak_model(90, 80e9), "H100") == 0 && strcmp(peak_model(90, 140e9), "H200") == 0);
    CHECK(strcmp(peak_model(75, 16e9), "") == 0);
}

static void ceilings_of_the_cpu(void) {
    Device *device = NULL;
    REQUIRE_OK(device_open_cpu(1, &device));
    Ceilings none = ceilings_find(device, DTYPE_F32, false),
             some = ceilings_find(device, DTYPE_F32, true);
    CHECK(none.flops == 0 && none.bytes == 0 && !none.measured);
    CHECK(some.measured && some.flops > 1e8 && some.bytes > 1e8);
    CHECK(device->allocated_bytes == 0);
    CHECK_CLOSE(ceilings_share(&some, &(Cost){.flops = some.flops}, 2), 0.5, 1e-9);
    CHECK_CLOSE(ceilings_share(&some, &(Cost){.flops = 1, .bytes = some.bytes}, 4), 0.25, 1e-9);
    CHECK(ceilings_share(&none, &(Cost){.flops = 1}, 1) == 0);
    device_close(&device);
}

/* Later runs read the measurements of the first run on a GPU of the same name; truncated lines do
 * not count. */
static void kept_ceilings(void) {
    char path[4096];
    const char *folder = harness_directory();
    Device gpu = {.target = {.kind = DEVICE_CUDA, .sm = 90},
                  .name = "Test GPU 9",
                  .peak_flops = 1e15,
                  .peak_bytes = 4e12};
    setenv("HOURGLASS_CACHE", folder, 1);
    CHECK_CLOSE(ceilings_find(&gpu, DTYPE_BF16, false).flops / 1e12, 800, 1e-9);
    snprintf(path, sizeof path, "%s/ceilings-Test_GPU_9-1.txt", folder);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    if (file == NULL) return;
    fputs("bf16 = 5e14 en\nbf16 = 6e14 3e12 end\ntf32 = 2e14 3e12 end\n", file);
    fclose(file);
    Ceilings half = ceilings_find(&gpu, DTYPE_BF16, false);
    CHECK(half.measured && half.flops == 6e14 && half.bytes == 3e12 && !half.tf32);
    gpu.tf32 = true;
    Ceilings tf32 = ceilings_find(&gpu, DTYPE_F32, false);
    CHECK(tf32.measured && tf32.flops == 2e14 && tf32.tf32);
}

static void larger_takes_longer(void) {
    Device *planning = NULL;
    Target hopper = {.kind = DEVICE_CUDA, .sm = 90, .n_sms = 132};
    REQUIRE_OK(device_open_planning(hopper, (size_t)141 << 30, &planning));
    Ceilings ceilings = ceilings_find(planning, DTYPE_BF16, true);
    CHECK(!ceilings.measured && ceilings.flops > 700e12 && ceilings.bytes > 4e12);
    double seconds[2];
    for (int i = 0; i < 2; i++) {
        Program *p = NULL;
        int64_t rows = i == 0 ? 8192 : 65536;
        REQUIRE_OK(program_create(hopper, false, &p));
        Tensor *x = program_tensor(p, BUFFER_INPUTS, DTYPE_BF16, 2, (int64_t[]){rows, 768});
        Tensor *w = program_tensor(p, BUFFER_INPUTS, DTYPE_BF16, 2, (int64_t[]){3072, 768});
        linear_record(p, x, w, NULL, false);
        seconds[i] = predict_program(p, &ceilings);
        CHECK(seconds[i] == predict_node(p->nodes[0], &ceilings));
        CHECK(predict_program(p, &(Ceilings){0}) == 0);
        program_destroy(&p);
    }
    double floor = 2.0 * 65536 * 768 * 3072 / ceilings.flops;
    CHECK(seconds[1] > 7 * seconds[0] && seconds[1] < 8.1 * seconds[0]);
    CHECK(seconds[1] > floor && seconds[1] < 2 * floor);
    device_close(&planning);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(data_sheets), TEST(ceilings_of_the_cpu), TEST(kept_ceilings),
                          TEST(larger_takes_longer)};
    return harness_run(argc, argv, "ceilings and predictions", tests, COUNT(tests));
}
