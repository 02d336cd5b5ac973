/* The gradient noise scale: its average, the norms that a step measures against gradients of single
 * sequences and micro-batches, and both kinds of unit against each other. */
#include "tests/harness.h"
#include "tests/nn/model_helper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 16, T = 16, STEPS = 800 };

static int32_t tokens[ROWS * T], targets[ROWS * T];

static StepState state_at(int64_t step) {
    return (StepState){
        .seed = 3, .step = (uint64_t)step, .adam_step = step + 1, .lr = 1e-2f, .loss_scale = 1};
}

/* A text without end: the next token is one of three, by chance. */
static void batch_draw(uint64_t step) {
    uint64_t state = step * 0x9E3779B97F4A7C15u + 1;
    for (int row = 0; row < ROWS; row++) {
        int32_t token = (int32_t)(row * 7 % 61);
        for (int t = 0; t < T; t++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            tokens[row * T + t] = token;
            token = (token * 5 + (int32_t)(state >> 33) % 3 + 7) % 61;
            targets[row * T + t] = token;
        }
    }
}

static bool model_open(int64_t B, int64_t accumulation, bool rms, bool measures, TestModel *model) {
    ModelOptions options = model_tiny();
    options.B = B;
    options.accumulation = accumulation;
    options.measures_noise = measures;
    if (rms) options.config.norm = MODEL_RMSNORM;
    return CHECK_OK(test_model_create(&options, model));
}

/* The squared norm of the gradients of norm layers, or of all but the embeddings. */
static double gradient_square(const TestModel *model, bool norms) {
    double square = 0;
    for (int i = 0; i < model->parameters->count; i++) {
        const Parameter *parameter = model->parameters->list[i];
        bool is_norm = strstr(parameter->name, "ln_") != NULL;
        if (norms ? !is_norm : parameter->is_embedding) continue;
        for (int64_t k = 0; k < tensor_count(parameter->grad); k++)
            square += pow(model_get(parameter->grad, k), 2);
    }
    return square;
}

/* The gradient of ROWS sequences from `first` on, in one step of a new model. */
static double square_of_rows(int64_t first, int64_t rows, bool rms, bool norms) {
    TestModel model;
    double square = NAN;
    if (model_open(rows, 1, rms, false, &model) &&
        CHECK_OK(model_step(&model, state_at(0), tokens + first * T, targets + first * T))) {
        square = gradient_square(&model, norms);
    }
    test_model_destroy(&model);
    return square;
}

static void check_sequences(bool rms) {
    TestModel model;
    double units = 0;
    batch_draw(1);
    if (model_open(4, 1, rms, true, &model)) {
        CHECK_OK(model_step(&model, state_at(0), tokens, targets));
        for (int64_t row = 0; row < 4; row++) units += square_of_rows(row, 1, rms, true) / 16;
        CHECK_CLOSE(model_get(model.tensors.noise, 0), sqrt(units), 1e-5);
        CHECK_CLOSE(model_get(model.tensors.noise, 1), sqrt(gradient_square(&model, true)), 1e-5);
        const NoiseSample *sample = &model.training->noise[0];
        CHECK(sample->unit == 1 && sample->units == 4 && sample->batch == 4);
    }
    test_model_destroy(&model);
}

static void norms_of_single_sequences(void) {
    check_sequences(false);
    check_sequences(true);
}

static void norms_of_the_first_micro_batch(void) {
    TestModel model;
    batch_draw(1);
    if (model_open(2, 3, false, true, &model)) {
        CHECK_OK(model_step(&model, state_at(0), tokens, targets));
        double unit = square_of_rows(0, 2, false, false) / 9;
        CHECK_CLOSE(model_get(model.tensors.noise, 0), sqrt(unit), 1e-5);
        CHECK_CLOSE(model_get(model.tensors.noise, 1), sqrt(gradient_square(&model, false)), 1e-5);
        const NoiseSample *sample = &model.training->noise[0];
        CHECK(sample->unit == 2 && sample->units == 1 && sample->batch == 6);
    }
    test_model_destroy(&model);
}

static void check_same_step(int64_t B, int64_t accumulation) {
    TestModel plain, measured;
    batch_draw(1);
    if (model_open(B, accumulation, false, false, &plain) &&
        model_open(B, accumulation, false, true, &measured)) {
        for (int64_t step = 0; step < 3; step++) {
            CHECK_OK(model_step(&plain, state_at(step), tokens, targets));
            CHECK_OK(model_step(&measured, state_at(step), tokens, targets));
        }
        const Tensor *a = plain.parameters->weights->flat, *b = measured.parameters->weights->flat;
        CHECK(memcmp(tensor_data(a), tensor_data(b), tensor_bytes(a)) == 0);
        CHECK(model_loss(&plain) == model_loss(&measured) &&
              model_norm(&plain) == model_norm(&measured));
    }
    test_model_destroy(&plain);
    test_model_destroy(&measured);
}

static void measuring_changes_no_bit(void) {
    check_same_step(4, 1);
    check_same_step(2, 3);
}

static void one_sequence_has_no_noise_scale(void) {
    TestModel model;
    batch_draw(1);
    if (model_open(1, 1, false, true, &model)) CHECK(model.training->noise[0].units == 0);
    test_model_destroy(&model);
}

/* The mean over STEPS steps of one course of training. */
static double noise_of(int64_t B, int64_t accumulation) {
    TestModel model;
    double variance = 0, square = 0;
    if (model_open(B, accumulation, false, true, &model)) {
        for (int64_t step = 0; step < STEPS; step++) {
            batch_draw((uint64_t)step);
            NoiseScale one = {0};
            NoiseSample sample = model.training->noise[0];
            CHECK_OK(model_step(&model, state_at(step), tokens, targets));
            sample.unit_norm = model_get(model.tensors.noise, 0);
            sample.norm = model_get(model.tensors.noise, 1);
            noise_scale_add(&one, &sample);
            if (step < STEPS / 4) continue; /* the norm layers' noise scale lags at first */
            variance += one.variance;
            square += one.square;
        }
    }
    test_model_destroy(&model);
    return variance / square;
}

static void both_kinds_of_unit_agree(void) {
#if defined(__SANITIZE_ADDRESS__)
    SKIP("the other tests run this code; 1,600 steps for a mean take too long under sanitizers");
#endif
    double sequences = noise_of(ROWS, 1), micro_batches = noise_of(2, ROWS / 2);
    printf("%.2f of sequences, %.2f of micro-batches ", sequences, micro_batches);
    CHECK(sequences > 0 && fabs(sequences / micro_batches - 1) < 0.2);
}

/* Samples with |G|^2 = 1 and tr(Sigma) = 12, units of 2 in a step of 8, seen on 3 units. */
static NoiseSample sample_of(double square) {
    double of_unit = square + 12.0 / 2, of_batch = square + 12.0 / 8;
    return (NoiseSample){.unit = 2,
                         .batch = 8,
                         .units = 3,
                         .unit_norm = sqrt(3 * of_unit / 16),
                         .norm = sqrt(of_batch)};
}

static void averages_before_the_ratio(void) {
    NoiseScale scale = {0};
    CHECK(isnan(noise_scale_sequences(&scale)));
    const NoiseSample one = sample_of(1), three = sample_of(3);
    for (int i = 0; i < 4; i++) noise_scale_add(&scale, i % 2 == 0 ? &one : &three);
    CHECK_CLOSE(scale.square, 2, 1e-9);
    CHECK_CLOSE(scale.variance, 12, 1e-9);
    CHECK_CLOSE(noise_scale_sequences(&scale), 6, 1e-9);
    for (int i = 0; i < 1000; i++) noise_scale_add(&scale, &one);
    CHECK_CLOSE(scale.square, 1, 1e-6); /* the first steps are forgotten */
    NoiseScale before = scale;
    NoiseSample bad = one;
    bad.norm = INFINITY;
    noise_scale_add(&scale, &bad);
    CHECK(memcmp(&before, &scale, sizeof scale) == 0);
    NoiseScale flat = {.variance = 1, .square = -1e-3, .samples = 3};
    CHECK(isnan(noise_scale_sequences(&flat)));
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(averages_before_the_ratio),       TEST(norms_of_single_sequences),
        TEST(norms_of_the_first_micro_batch),  TEST(measuring_changes_no_bit),
        TEST(one_sequence_has_no_noise_scale), TEST(both_kinds_of_unit_agree),
    };
    return harness_run(argc, argv, "noise scale", tests, COUNT(tests));
}
