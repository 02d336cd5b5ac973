/* Compares the CPU's attention backends with a naive f64 reference; tests what they keep, and which
 * of them the picker selects. */
#include "core/autodiff.h"
#include "core/plan.h"
#include "tests/harness.h"
#include "tests/nn/attention_run_helper.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {"baseline", "math", "mem_efficient", "flash"};
static const StepState step = {.seed = 11, .step = 6, .first_sample = 3, .loss_scale = 1};
static Device *device;

#define UPPER .causal = CAUSAL_UPPER_LEFT
#define LOWER .causal = CAUSAL_LOWER_RIGHT
static const AttentionShape shapes[] = {
    {SIZES(1, 1, 1, 1, 1, 1)},
    {SIZES(2, 2, 2, 5, 7, 3)},
    {SIZES(2, 3, 3, 33, 33, 16), UPPER},
    {SIZES(1, 2, 2, 63, 63, 8), UPPER},
    {SIZES(1, 2, 2, 64, 64, 8), UPPER},
    {SIZES(1, 2, 2, 65, 65, 8), UPPER, .head_major = true},
    {SIZES(1, 1, 1, 127, 127, 32), UPPER},
    {SIZES(1, 2, 2, 200, 200, 64), UPPER},
    {SIZES(2, 4, 2, 40, 40, 8), UPPER},
    {SIZES(2, 6, 1, 66, 131, 5), .head_major = true},
    {SIZES(1, 2, 1, 30, 140, 8), UPPER},
    {SIZES(1, 2, 1, 30, 140, 8), LOWER},
    {SIZES(1, 2, 2, 140, 30, 8), UPPER},
    {SIZES(2, 2, 1, 140, 30, 8), LOWER},
    {SIZES(1, 2, 2, 150, 150, 8), UPPER, .window = 1},
    {SIZES(1, 2, 2, 150, 150, 8), UPPER, .window = 17},
    {SIZES(1, 2, 1, 90, 300, 8), LOWER, .window = 40},
    {SIZES(1, 2, 1, 150, 20, 8), UPPER, .window = 10},
    {SIZES(2, 2, 2, 70, 70, 8), UPPER, .dropout = 0.3},
    {SIZES(2, 4, 2, 35, 133, 8), LOWER, .dropout = 0.5, .window = 70},
    {SIZES(2, 2, 2, 9, 11, 4), .dropout = 0.9},
    {SIZES(1, 1, 1, 40, 40, 8), UPPER, .scale = 2.5f},
    {SIZES(5, 2, 1, 70, 140, 8), .ranges = SHAPE_LENGTHS},
    {SIZES(4, 2, 2, 150, 150, 8), UPPER, .ranges = SHAPE_LENGTHS},
    {SIZES(3, 2, 2, 300, 300, 8), UPPER, .ranges = SHAPE_PACKED, .segments = 5},
    {SIZES(3, 2, 1, 200, 300, 8), UPPER, .ranges = SHAPE_PACKED, .segments = 6},
    {SIZES(3, 2, 1, 200, 300, 8), LOWER, .ranges = SHAPE_PACKED, .segments = 6},
    {SIZES(2, 2, 1, 300, 200, 8), LOWER, .ranges = SHAPE_PACKED, .segments = 3, .window = 20},
    {SIZES(2, 2, 2, 300, 300, 8), UPPER, .ranges = SHAPE_DOCUMENTS, .segments = 7},
    {SIZES(2, 4, 2, 200, 200, 8), UPPER, .ranges = SHAPE_DOCUMENTS, .segments = 4, .window = 30,
     .dropout = 0.2},
    {SIZES(2, 4, 2, 37, 131, 8), .bias = BIAS_BOOLEAN},
    {SIZES(2, 4, 2, 37, 131, 8), .bias = BIAS_BOOLEAN, .bias_dims = "b"},
    {SIZES(2, 4, 2, 70, 70, 8), UPPER, .bias = BIAS_BOOLEAN, .bias_dims = "q"},
    {SIZES(2, 4, 2, 37, 131, 8), .bias = BIAS_ADDITIVE},
    {SIZES(2, 4, 2, 37, 131, 8), .bias = BIAS_ADDITIVE, .bias_dims = "q"},
    {SIZES(3, 4, 2, 37, 131, 8), LOWER, .bias = BIAS_ADDITIVE, .bias_dims = "hq"},
    {SIZES(3, 4, 4, 70, 70, 8), UPPER, .bias = BIAS_ADDITIVE, .bias_dims = "bq", .dropout = 0.3},
    {SIZES(3, 4, 4, 70, 150, 8), .bias = BIAS_ADDITIVE, .bias_dims = "", .ranges = SHAPE_LENGTHS},
    {SIZES(1, 4, 2, 150, 150, 8), UPPER, .bias = BIAS_ADDITIVE, .bias_dims = "h",
     .ranges = SHAPE_DOCUMENTS, .segments = 3},
    {SIZES(1, 2, 1, 130, 1101, 16), LOWER, .window = 600},
    {SIZES(1, 1, 1, 270, 270, 48), UPPER},
    {SIZES(1, 2, 2, 600, 600, 16), UPPER, .ranges = SHAPE_DOCUMENTS, .segments = 5},
    {SIZES(2, 4, 2, 150, 530, 32), .dropout = 0.3},
    {SIZES(1, 4, 2, 140, 300, 16), LOWER, .softcap = 1.5},
    {SIZES(2, 4, 1, 70, 70, 8), UPPER, .softcap = 1.5},
    {SIZES(1, 4, 2, 200, 140, 8), LOWER, .softcap = 0.5, .dropout = 0.3, .window = 60},
    {SIZES(2, 4, 2, 37, 131, 8), .softcap = 2, .bias = BIAS_ADDITIVE, .bias_dims = "hq"},
    {SIZES(2, 2, 2, 70, 150, 8), .softcap = 2, .bias = BIAS_BOOLEAN, .bias_dims = "q"},
};

/* The largest error over all outputs; rows without a key must have lse -inf in both. */
static double distance(const AttentionData *a, const AttentionData *b) {
    double worst = 0;
    for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
        for (int64_t i = 0; i < a->counts[which]; i++) {
            double x = a->values[which][i], y = b->values[which][i];
            if (x == y) continue;
            double error = fabs(x - y) / fmax(1, fabs(y));
            worst = error <= worst ? worst : error; /* a NaN stays */
        }
    }
    return worst;
}

static bool serves(const char *name, AttentionShape shape, DType dtype) {
    AttentionCall call = attention_call_of(shape, dtype);
    return attention_refusal(attention_backend(name), &call, &device->target) == NULL;
}

static double error_of(const char *name, AttentionShape shape, DType dtype, double magnitude) {
    AttentionCall call = attention_call_of(shape, dtype);
    AttentionData wanted, got;
    double error = NAN;
    if (attention_data_create(&shape, &call, magnitude, &wanted) &&
        attention_data_create(&shape, &call, magnitude, &got)) {
        attention_reference(&call, &step, &wanted);
        if (CHECK_OK(attention_by(attention_backend(name), &call, device, &step, &got))) {
            error = distance(&got, &wanted);
        }
    }
    attention_data_destroy(&wanted);
    attention_data_destroy(&got);
    return error;
}

static void check_backend(const char *name, DType dtype, double tolerance) {
    double worst = 0;
    for (size_t i = 0; i < COUNT(shapes); i++) {
        if (!serves(name, shapes[i], dtype)) continue;
        double error = error_of(name, shapes[i], dtype, 1);
        if (!(error <= tolerance)) printf("\n    shape %zu: off by %.2e", i, error);
        CHECK(error <= tolerance);
        worst = fmax(worst, error);
    }
    printf("%.1e ", worst);
}

static void baseline_f64(void) { check_backend("baseline", DTYPE_F64, 1e-13); }
static void math_f64(void) { check_backend("math", DTYPE_F64, 1e-13); }
static void mem_efficient_f64(void) { check_backend("mem_efficient", DTYPE_F64, 1e-13); }
static void flash_f64(void) { check_backend("flash", DTYPE_F64, 1e-13); }
static void baseline_f32(void) { check_backend("baseline", DTYPE_F32, 2e-6); }
static void math_f32(void) { check_backend("math", DTYPE_F32, 2e-6); }
static void mem_efficient_f32(void) { check_backend("mem_efficient", DTYPE_F32, 2e-6); }
static void flash_f32(void) { check_backend("flash", DTYPE_F32, 2e-6); }

/* Scores in the thousands must not overflow the exponentials. */
static void large_scores(void) {
    for (size_t k = 0; k < COUNT(names); k++) {
        AttentionShape shape = {SIZES(1, 2, 2, 150, 150, 16), UPPER};
        CHECK(error_of(names[k], shape, DTYPE_F64, 50) <= 1e-9);
        CHECK(isfinite(error_of(names[k], shape, DTYPE_F32, 50)));
    }
}

/* lower_right with more queries than keys: the first Tq - Tk rows see nothing. */
static void rows_without_a_key_are_zero(void) {
    AttentionShape shape = {SIZES(1, 2, 2, 140, 60, 4), LOWER};
    for (size_t k = 0; k < COUNT(names); k++) {
        AttentionCall call = attention_call_of(shape, DTYPE_F32);
        AttentionData data;
        if (attention_data_create(&shape, &call, 1, &data) &&
            CHECK_OK(attention_by(attention_backend(names[k]), &call, device, &step, &data))) {
            for (int64_t i = 0; i < 80 * 2 * 4; i++) {
                CHECK(data.values[ATT_OUT][i] == 0 && data.values[ATT_DQ][i] == 0);
            }
            CHECK(data.values[ATT_LSE][79] == -INFINITY && isfinite(data.values[ATT_LSE][80]));
            CHECK(data.values[ATT_OUT][80 * 2 * 4] != 0);
        }
        attention_data_destroy(&data);
    }
}

/* A bias of -infinity hides like a boolean bias, a whole row as well. */
static void infinite_biases_hide(void) {
    AttentionShape shape = {SIZES(1, 1, 1, 40, 300, 4), .bias = BIAS_ADDITIVE};
    for (size_t k = 0; k < COUNT(names); k++) {
        AttentionCall call = attention_call_of(shape, DTYPE_F32);
        AttentionData data;
        if (!serves(names[k], shape, DTYPE_F32)) continue;
        if (attention_data_create(&shape, &call, 1, &data)) {
            for (int64_t j = 0; j < 300; j++) data.values[ATT_BIAS][7 * 300 + j] = -INFINITY;
            for (int64_t i = 0; i < 40; i++) data.values[ATT_BIAS][i * 300 + 9] = -INFINITY;
            CHECK_OK(attention_by(attention_backend(names[k]), &call, device, &step, &data));
            for (int64_t d = 0; d < 4; d++) {
                CHECK(data.values[ATT_OUT][7 * 4 + d] == 0 && data.values[ATT_DQ][7 * 4 + d] == 0);
                CHECK(data.values[ATT_DK][9 * 4 + d] == 0 && data.values[ATT_DV][9 * 4 + d] == 0);
                CHECK(data.values[ATT_OUT][8 * 4 + d] != 0);
            }
            CHECK(data.values[ATT_LSE][7] == -INFINITY &&
                  data.values[ATT_DBIAS][7 * 300 + 50] == 0);
            CHECK(data.values[ATT_DBIAS][8 * 300 + 9] == 0 &&
                  data.values[ATT_DBIAS][8 * 300 + 8] != 0);
        }
        attention_data_destroy(&data);
    }
}

/* Fully masked tiles are not read: keys that no query of the tile sees may be NaN. */
static void check_skipped(const char *name, AttentionShape shape, const int32_t lengths[2],
                          int64_t first, int64_t end) {
    AttentionCall call = attention_call_of(shape, DTYPE_F32);
    AttentionData data;
    if (attention_data_create(&shape, &call, 1, &data)) {
        if (shape.ranges == SHAPE_LENGTHS)
            CHECK_OK(ranges_from_lengths(&data.ranges, &lengths[0], &lengths[1]));
        for (int64_t i = first * 8; i < end * 8; i++)
            data.values[ATT_K][i] = data.values[ATT_V][i] = NAN;
        CHECK_OK(attention_by(attention_backend(name), &call, device, &step, &data));
        for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
            for (int64_t i = 0; i < data.counts[which]; i++) CHECK(!isnan(data.values[which][i]));
        }
        for (int64_t i = first * 8; i < end * 8; i++) {
            CHECK(data.values[ATT_DK][i] == 0 && data.values[ATT_DV][i] == 0);
        }
    }
    attention_data_destroy(&data);
}

static void masked_tiles_are_skipped(void) {
    const AttentionShape causal = {SIZES(1, 1, 1, 128, 768, 8), UPPER};
    const AttentionShape window = {SIZES(1, 1, 1, 64, 768, 8), LOWER,
                                   .window = 64}; /* sees 641..767 */
    const AttentionShape padded = {SIZES(1, 1, 1, 300, 768, 8), .ranges = SHAPE_LENGTHS};
    const char *const tiled[] = {"flash", "mem_efficient"};
    for (size_t k = 0; k < COUNT(tiled); k++) {
        check_skipped(tiled[k], causal, NULL, 256, 768);
        check_skipped(tiled[k], window, NULL, 0, 512);
        check_skipped(tiled[k], padded, (int32_t[]){290, 256}, 256, 768);
    }
}

/* The memory that attention adds to a program's buffers, without its input and output. */
static size_t bytes_of_attention(const char *name, int64_t T) {
    Program *p = NULL;
    KernelChoice choice = {.count = 1, .names = {name}};
    AttentionOptions options = {.choice = &choice, .NH = 4};
    int64_t shape[] = {2, T, 3 * 64};
    size_t bytes = 0;
    if (!CHECK_OK(program_create((Target){.kind = DEVICE_CPU, .threads = 2}, true, &p))) return 0;
    Tensor *qkv = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_F32, 3, shape);
    qkv->needs_grad = true;
    Tensor *out = attention_record(p, qkv, &options);
    autodiff_watch(p, out, program_tensor_like(p, BUFFER_ACTIVATION_GRADIENTS, out), true);
    autodiff_run(p);
    CHECK_OK(program_status(p));
    for (int i = 0; i < p->n_buffers; i++) bytes += p->buffers[i]->bytes;
    program_destroy(&p);
    return bytes;
}

static void check_linear(const char *name) {
    for (int64_t T = 1024; T <= 65536; T *= 4) {
        size_t once = bytes_of_attention(name, T), twice = bytes_of_attention(name, 2 * T);
        CHECK(twice <= 2 * once);
        size_t per_token =
            (twice - once) / (size_t)T; /* qkv, out, their gradients, lse and stats in f64, sums */
        size_t transposes =             /* of k and v of a head; two threads, directions */
            strcmp(name, "flash") == 0 ? 2 * 2 * 2 * 16 : 0;
        CHECK(per_token <= (2 * (2 * 3 * 64 + 2 * 64 + 3 * 8 + 2) + transposes) * sizeof(float));
    }
}

static void memory_of_tiles_is_linear(void) {
    check_linear("flash");
    check_linear("mem_efficient");
    CHECK(bytes_of_attention("math", 2048) > 3 * bytes_of_attention("math", 1024));
    CHECK(bytes_of_attention("baseline", 2048) > 3 * bytes_of_attention("baseline", 1024));
}

/* Every backend computes the same bits for every number of threads, because a head has one
 * writer. */
static void threads_do_not_matter(void) {
    Device *two = NULL;
    REQUIRE_OK(device_open_cpu(2, &two));
    for (size_t k = 0; k < COUNT(names) * 2; k++) {
        AttentionShape shape = shapes[19];
        shape.bias = k < COUNT(names) ? BIAS_NONE : BIAS_ADDITIVE;
        shape.bias_dims = "q";
        if (!serves(names[k % COUNT(names)], shape, DTYPE_F32)) continue;
        AttentionCall call = attention_call_of(shape, DTYPE_F32);
        AttentionData a, b;
        if (attention_data_create(&shape, &call, 1, &a) &&
            attention_data_create(&shape, &call, 1, &b) &&
            CHECK_OK(attention_by(attention_backend(names[k % COUNT(names)]), &call, device, &step,
                                  &a)) &&
            CHECK_OK(
                attention_by(attention_backend(names[k % COUNT(names)]), &call, two, &step, &b))) {
            CHECK(distance(&a, &b) == 0);
        }
        attention_data_destroy(&a);
        attention_data_destroy(&b);
    }
    device_close(&two);
}

static const char *picked(KernelChoice choice, DType dtype, DeviceKind kind, Status *status) {
    AttentionShape shape = {SIZES(1, 1, 1, 8, 8, 8), UPPER};
    AttentionCall call = attention_call_of(shape, dtype);
    KernelVerdict verdicts[KERNEL_MAX_CHOICES];
    const AttentionBackend *backend = NULL;
    int count = -1;
    *status = attention_pick(&call, &(Target){.kind = kind, .threads = 1}, &choice, verdicts,
                             &count, &backend);
    CHECK(count >= 0 && count <= KERNEL_MAX_CHOICES);
    return failed(*status) ? "" : backend->forward.name;
}

static void picker(void) {
    Status status;
    CHECK(strcmp(picked((KernelChoice){0}, DTYPE_F32, DEVICE_CPU, &status), "flash") == 0);
    KernelChoice two = {.count = 2, .names = {"baseline", "flash"}};
    KernelChoice unknown = {.count = 1, .names = {"none"}}, one = {.count = 1, .names = {"flash"}};
    CHECK(strcmp(picked(two, DTYPE_F64, DEVICE_CPU, &status), "baseline") == 0);
    picked(one, DTYPE_F16, DEVICE_CPU, &status);
    CHECK_ERROR(status, STATUS_CONFIG, "flash: needs f32, f64 or bf16");
    picked(two, DTYPE_F16, DEVICE_CPU, &status);
    CHECK_ERROR(status, STATUS_CONFIG, "baseline: needs f32, f64 or bf16; flash: needs");
    picked(unknown, DTYPE_F32, DEVICE_CPU, &status);
    CHECK_ERROR(status, STATUS_CONFIG,
                "attention.backends: the CPU has no kernel named none; choose another");
}

/* Measured times take precedence over the order; backends without a time come last, and a refusal
 * remains one. */
static void picker_by_time(void) {
    Status status;
    KernelChoice choice = {
        .count = 3, .names = {"flash", "math", "baseline"}, .seconds = {3e-3, 1e-3, 2e-3}};
    CHECK(strcmp(picked(choice, DTYPE_F32, DEVICE_CPU, &status), "math") == 0);
    choice.seconds[1] = 0;
    CHECK(strcmp(picked(choice, DTYPE_F32, DEVICE_CPU, &status), "baseline") == 0);
    choice.seconds[2] = 3e-3; /* equal times: the order decides */
    CHECK(strcmp(picked(choice, DTYPE_F32, DEVICE_CPU, &status), "flash") == 0);
    choice.seconds[0] = choice.seconds[2] = 0;
    CHECK(strcmp(picked(choice, DTYPE_F32, DEVICE_CPU, &status), "flash") == 0);
    choice.seconds[0] = 1e-3;
    picked(choice, DTYPE_F16, DEVICE_CPU, &status);
    CHECK_ERROR(status, STATUS_CONFIG, "flash: needs f32, f64 or bf16");
}

/* On a GPU only the backends that keep the weights have a softcap; the others say so. */
static void gpus_refuse_softcaps(void) {
    const Target gpu = {.kind = DEVICE_CUDA, .sm = 90, .n_sms = 132};
    AttentionCall call =
        attention_call_of((AttentionShape){SIZES(1, 2, 2, 64, 64, 64), UPPER}, DTYPE_BF16);
    for (int capped = 0; capped < 2; capped++) {
        call.softcap = capped * 20;
        for (int i = 0; attention_backends[i] != NULL; i++) {
            const AttentionBackend *backend = attention_backends[i];
            if (backend->forward.device != DEVICE_CUDA) continue;
            const char *why = attention_refusal(backend, &call, &gpu);
            CHECK((why != NULL) == (capped && !backend->saves_weights));
            if (why != NULL) CHECK(strcmp(why, "has no softcap") == 0);
        }
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(baseline_f64),
                          TEST(math_f64),
                          TEST(mem_efficient_f64),
                          TEST(flash_f64),
                          TEST(baseline_f32),
                          TEST(math_f32),
                          TEST(mem_efficient_f32),
                          TEST(flash_f32),
                          TEST(large_scores),
                          TEST(rows_without_a_key_are_zero),
                          TEST(infinite_biases_hide),
                          TEST(masked_tiles_are_skipped),
                          TEST(memory_of_tiles_is_linear),
                          TEST(threads_do_not_matter),
                          TEST(picker),
                          TEST(picker_by_time),
                          TEST(gpus_refuse_softcaps)};
    if (failed(device_open_cpu(1, &device))) return 1;
    int code = harness_run(argc, argv, "attention", tests, COUNT(tests));
    device_close(&device);
    return code;
}
