/* The loss of a tiny GPT, all its gradients and ten AdamW steps against vectors of PyTorch: 1e-5,
 * in f32 (and f64). */
#include "nn/optim/schedule.h"
#include "tests/golden/golden.h"
#include "tests/harness.h"
#include "tests/nn/model_helper.h"

#include <math.h>

enum { B = 4, T = 16, STEPS = 10, BATCH = B * T };

static Golden weights, grads, steps;
static int32_t tokens[BATCH], targets[BATCH];

static void batch_take(int step) {
    const GoldenRecord *batches = golden_find(&weights, "batches");
    for (int64_t i = 0; i < BATCH; i++) {
        const float *row = batches->values + step * B * (T + 1) + i / T * (T + 1);
        tokens[i] = (int32_t)row[i % T];
        targets[i] = (int32_t)row[i % T + 1];
    }
}

/* Uploads the weights by name, in place of the initialization. */
static bool weights_take(const TestModel *model) {
    bool taken = true;
    for (int k = 0; k < model->parameters->count; k++) {
        const Parameter *parameter = model->parameters->list[k];
        const GoldenRecord *record = golden_find(&weights, parameter->name);
        if (record == NULL || record->count != tensor_count(parameter->weight)) return false;
        double *wide = malloc((size_t)record->count * sizeof *wide);
        for (int64_t i = 0; i < record->count; i++) wide[i] = (double)record->values[i];
        bool is_wide = parameter->weight->dtype == DTYPE_F64;
        taken &= CHECK_OK(device_upload(model->device, parameter->weight,
                                        is_wide ? (void *)wide : record->values));
        free(wide);
    }
    return taken;
}

static bool model_open(DType dtype, const char *backend, int64_t accumulation, size_t logits_bytes,
                       TestModel *model) {
    ModelOptions options = model_tiny();
    options.B = B / accumulation;
    options.accumulation = accumulation;
    options.dtype = dtype;
    options.backend = backend;
    options.logits_bytes = logits_bytes;
    options.clip = 0.5;
    bool ready = CHECK_OK(test_model_create(&options, model)) && weights_take(model);
    CHECK(ready);
    return ready;
}

static void check_gradients(DType dtype, const char *backend, int64_t accumulation,
                            size_t logits_bytes) {
    TestModel model;
    StepState state = {.adam_step = 1, .loss_scale = 1};
    batch_take(0);
    if (model_open(dtype, backend, accumulation, logits_bytes, &model) &&
        CHECK_OK(model_step(&model, state, tokens, targets))) {
        CHECK_CLOSE(model_loss(&model), (double)golden_find(&grads, "loss")->values[0], 1e-6);
        for (int k = 0; k < model.parameters->count; k++) {
            const Parameter *parameter = model.parameters->list[k];
            const GoldenRecord *record = golden_find(&grads, parameter->name);
            double worst = 0, most = 0;
            for (int64_t i = 0; i < record->count; i++) {
                worst =
                    fmax(worst, fabs(model_get(parameter->grad, i) - (double)record->values[i]));
                most = fmax(most, fabs((double)record->values[i]));
            }
            CHECK(worst <= 1e-5 * fmax(most, 1e-2));
        }
    }
    test_model_destroy(&model);
}

static void gradients_flash(void) { check_gradients(DTYPE_F32, "flash", 1, 0); }
static void gradients_math(void) { check_gradients(DTYPE_F32, "math", 1, 0); }
static void gradients_baseline(void) { check_gradients(DTYPE_F32, "baseline", 1, 0); }
static void gradients_in_micro_batches(void) { check_gradients(DTYPE_F32, NULL, 4, 0); }
static void gradients_in_chunks(void) {
    check_gradients(DTYPE_F32, NULL, 2, 7 * 64 * sizeof(float));
}
static void gradients_f64(void) { check_gradients(DTYPE_F64, NULL, 1, 0); }

/* The bias of the keys shifts all scores of a row equally: its gradient is 0 except for rounding,
 * which AdamW normalizes to full size. In f32 these elements are noise in every implementation. */
static bool is_noise(const Parameter *parameter, int64_t i) {
    return strstr(parameter->name, "c_attn.bias") != NULL && i >= 32 && i < 64;
}

static void check_weights(const TestModel *model, bool skip_noise, double tolerance) {
    double worst = 0;
    for (int k = 0; k < model->parameters->count; k++) {
        const Parameter *parameter = model->parameters->list[k];
        const GoldenRecord *record = golden_find(&steps, parameter->name);
        for (int64_t i = 0; i < record->count; i++) {
            if (skip_noise && is_noise(parameter, i)) continue;
            worst = fmax(worst, fabs(model_get(parameter->weight, i) - (double)record->values[i]));
        }
    }
    printf("weights %.1e ", worst);
    CHECK(worst <= tolerance);
}

static void check_steps(DType dtype, double tolerance) {
    const Schedule schedule = {.lr = 2e-3, .min_lr = 2e-4, .warmup = 3, .decay = 9};
    TestModel model;
    bool ready = model_open(dtype, NULL, 2, 0, &model);
    for (int step = 0; ready && step < STEPS; step++) {
        double lr = schedule_lr(&schedule, step);
        StepState state = {
            .step = (uint64_t)step, .adam_step = step + 1, .lr = (float)lr, .loss_scale = 1};
        batch_take(step);
        CHECK_OK(model_step(&model, state, tokens, targets));
        CHECK_CLOSE(lr, (double)golden_find(&steps, "lr")->values[step], 1e-9);
        CHECK_CLOSE(model_loss(&model), (double)golden_find(&steps, "losses")->values[step], 1e-5);
        CHECK_CLOSE(model_norm(&model), (double)golden_find(&steps, "norms")->values[step], 1e-5);
    }
    if (ready) check_weights(&model, dtype == DTYPE_F32, tolerance);
    test_model_destroy(&model);
}

static void ten_steps_f32(void) { check_steps(DTYPE_F32, 1e-5); }
static void ten_steps_f64(void) { check_steps(DTYPE_F64, 1e-6); }

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(gradients_flash),     TEST(gradients_math),
        TEST(gradients_baseline),  TEST(gradients_in_micro_batches),
        TEST(gradients_in_chunks), TEST(gradients_f64),
        TEST(ten_steps_f32),       TEST(ten_steps_f64),
    };
    Status status = golden_open("tests/golden/gpt_weights.bin", &weights);
    if (!failed(status)) status = golden_open("tests/golden/gpt_grads.bin", &grads);
    if (!failed(status)) status = golden_open("tests/golden/gpt_steps.bin", &steps);
    if (failed(status)) return status_report("test_golden", status);
    int code = harness_run(argc, argv, "golden gpt", tests, COUNT(tests));
    golden_close(&weights);
    golden_close(&grads);
    golden_close(&steps);
    return code;
}
