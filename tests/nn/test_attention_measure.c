/* attention.pick: measured: what it times, what it caches, and how it handles a broken cache. */
#include "nn/attention/measure.h"
#include "nn/attention/standalone.h"
#include "tests/harness.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Device *device;
static const char *folder;

static KernelChoice three(void) {
    return (KernelChoice){.count = 3, .names = {"flash", "none", "math"}};
}

static KernelChoice measured(int64_t B, bool measures, int *missing) {
    KernelChoice choice = three();
    AttentionCall call = attention_call_packed(DTYPE_F32, B, 16, 2, 8, 0, true);
    CHECK_OK(attention_measure(device, &call, measures, &choice, missing));
    return choice;
}

/* The only file of the cache; the caller closes it. */
static FILE *cache_open(const char *mode) {
    char pattern[256];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/attention-*.txt", folder);
    FILE *file = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1
                     ? fopen(found.gl_pathv[0], mode)
                     : NULL;
    globfree(&found);
    CHECK(file != NULL);
    return file;
}

static void cache_write(const char *text, size_t bytes) {
    FILE *file = cache_open("w");
    if (file == NULL) return;
    CHECK(fwrite(text, 1, bytes, file) == bytes);
    fclose(file);
}

static size_t cache_read(char *text, size_t capacity) {
    FILE *file = cache_open("r");
    size_t bytes = file == NULL ? 0 : fread(text, 1, capacity - 1, file);
    text[bytes] = '\0';
    if (file != NULL) fclose(file);
    return bytes;
}

/* dq, dk and dv of a trial; the caller frees them. */
static float *trial_gradient(const char *name, const AttentionCall *call) {
    const char *refusal;
    const AttentionBackend *row = attention_row(name, call, &device->target, &refusal);
    float *values = calloc((size_t)(call->B * call->q.batch), sizeof *values);
    bool fits = false;
    Sdpa *sdpa = NULL;
    CHECK(row != NULL && values != NULL);
    if (row != NULL && values != NULL && CHECK_OK(sdpa_plan(device, call, row, true, &sdpa))) {
        CHECK_OK(sdpa_allocate_trial(sdpa, &fits));
        CHECK(fits);
        CHECK_OK(sdpa_forward(sdpa));
        CHECK_OK(sdpa_backward(sdpa));
        CHECK_OK(device_download(device, values, sdpa->dq));
    }
    sdpa_destroy(&sdpa);
    return values;
}

/* A trial is a complete call: it gives the same gradients with every backend, with and without
 * ranges. */
static void a_trial_computes(void) {
    for (int ranges = 0; ranges < 2; ranges++) {
        AttentionCall call = attention_call_packed(DTYPE_F32, 1, 256, 4, 16, 0, true);
        call.ranges = ranges == 1;
        float *wanted = trial_gradient("math", &call), *got = trial_gradient("flash", &call);
        int64_t count = 3 * 256 * 64, nonzero = 0;
        for (int64_t i = 0; wanted != NULL && got != NULL && i < count; i++) {
            CHECK(fabsf(got[i] - wanted[i]) <= 1e-4f);
            nonzero += wanted[i] != 0;
        }
        CHECK(nonzero > count / 2);
        free(wanted);
        free(got);
    }
}

static void times_are_taken_once(void) {
    int missing;
    KernelChoice none = measured(1, false, &missing), first = measured(1, true, &missing);
    CHECK(none.seconds[0] == 0 && none.seconds[2] == 0);
    CHECK(missing == 0 && first.seconds[0] > 0 && first.seconds[1] == 0 && first.seconds[2] > 0);
    KernelChoice again = measured(1, true, &missing), read = measured(1, false, &missing);
    for (int i = 0; i < 3; i++) {
        CHECK(fabs(again.seconds[i] - first.seconds[i]) <=
              1e-9); /* times from the cache, rounded to a nanosecond */
        CHECK(read.seconds[i] == again.seconds[i]);
    }
    measured(2, false, &missing); /* another call */
    CHECK(missing == 2);
}

static void a_broken_cache_is_passed_over(void) {
    static char good[4096], all[8192];
    int missing;
    KernelChoice first = measured(1, true, &missing);
    size_t bytes = cache_read(good, sizeof good);
    char *value = strstr(good, " = ");
    CHECK(value != NULL);
    if (value == NULL) return;
    for (size_t cut = 0; cut < bytes; cut += 7) { /* as after a full disk */
        if (good[cut] == '\n')
            continue; /* complete except for its newline, which the next line supplies: it is valid
                       */
        cache_write(good, cut);
        KernelChoice again = measured(1, true, &missing);
        CHECK(missing == 0 && again.seconds[0] > 0 && again.seconds[2] > 0);
        KernelChoice read = measured(1, false, &missing);
        CHECK(missing == 0 && fabs(read.seconds[0] - again.seconds[0]) <= 1e-9);
    }
    static const char *const values[] = {"nan", "-5", "0", "inf", "1e3x", "", "5 6"};
    for (size_t i = 0; i < COUNT(values); i++) {
        int length =
            snprintf(all, sizeof all, "%.*s = %s end\n", (int)(value - good), good, values[i]);
        cache_write(all, (size_t)length);
        CHECK(measured(1, false, &missing).seconds[0] == 0 && missing == 2);
        CHECK(measured(1, true, &missing).seconds[0] > 0 && missing == 0);
        CHECK(measured(1, false, &missing).seconds[0] > 0 && missing == 0);
    }
    for (size_t i = 0; i < sizeof all; i++) all[i] = (char)(i * 37 + (i >> 7));
    cache_write(all, sizeof all);
    CHECK(measured(1, true, &missing).seconds[0] > 0 && missing == 0);
    CHECK(measured(1, false, &missing).seconds[0] > 0 && missing == 0);
    CHECK(first.seconds[0] > 0);
}

static void without_a_folder_it_measures_each_time(void) {
    int missing;
    setenv("HOURGLASS_CACHE", "/dev/null/none", 1);
    CHECK(measured(3, true, &missing).seconds[0] > 0 && missing == 0);
    CHECK(measured(3, false, &missing).seconds[0] == 0 && missing == 2);
    setenv("HOURGLASS_CACHE", folder, 1);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(a_trial_computes),
        TEST(times_are_taken_once),
        TEST(a_broken_cache_is_passed_over),
        TEST(without_a_folder_it_measures_each_time),
    };
    if (failed(device_open_cpu(1, &device))) return 1;
    folder = harness_directory();
    setenv("HOURGLASS_CACHE", folder, 1);
    int code = harness_run(argc, argv, "attention_measure", tests, COUNT(tests));
    device_close(&device);
    return code;
}
