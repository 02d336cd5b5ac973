/* A tiny model whose products have eight bits: losses and gradients near those of f32, scales that
 * follow the data, saturation and NaN that show. */
#include "tests/harness.h"
#include "tests/nn/model_helper.h"

#include "core/float8.h"
#include "core/ops/delayed_scale.h"
#include "core/ops/norm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 8, T = 16, STEPS = 60 };

static int32_t tokens[ROWS * T], targets[ROWS * T];

static Float8Options options_all(void) {
    return (Float8Options){.head = true,
                           .forward = true,
                           .dx = true,
                           .dw = true,
                           .gradient = DTYPE_F8E5M2,
                           .is_delayed = true,
                           .history = 4,
                           .tokens = ROWS * T};
}

static StepState state_at(int64_t step, float lr) {
    return (StepState){
        .seed = 3, .step = (uint64_t)step, .adam_step = step + 1, .lr = lr, .loss_scale = 1};
}

static bool model_open(const Float8Options *float8, ModelOptions options, TestModel *model) {
    options.B = ROWS / options.accumulation;
    options.float8 = float8;
    if (!CHECK_OK(test_model_create(&options, model))) return false;
    model_batch(model, ROWS, tokens, targets);
    return true;
}

static double trained_loss(const Float8Options *float8, ModelOptions options) {
    TestModel model;
    double last = NAN;
    if (model_open(float8, options, &model)) {
        for (int64_t step = 0; step < STEPS; step++)
            CHECK_OK(model_step(&model, state_at(step, 1e-2f), tokens, targets));
        last = model_loss(&model);
    }
    test_model_destroy(&model);
    return last;
}

/* The relative distance of the gradients of a first step at the same weights, |g - f| / |f|. */
static double gradient_distance(const Float8Options *float8, int warm_up) {
    TestModel exact, rounded;
    double difference = 0, size = 0;
    if (model_open(NULL, model_tiny(), &exact) && model_open(float8, model_tiny(), &rounded)) {
        for (int64_t step = 0; step <= warm_up; step++) {
            CHECK_OK(model_step(&exact, state_at(step, 0), tokens, targets));
            CHECK_OK(model_step(&rounded, state_at(step, 0), tokens, targets));
        }
        const Tensor *f = exact.parameters->grads->flat, *g = rounded.parameters->grads->flat;
        for (int64_t i = 0; i < tensor_count(f); i++) {
            difference += pow(model_get(g, i) - model_get(f, i), 2);
            size += pow(model_get(f, i), 2);
        }
    }
    test_model_destroy(&exact);
    test_model_destroy(&rounded);
    return sqrt(difference / size);
}

static void losses_stay_near_those_of_f32(void) {
    Float8Options delayed = options_all(), current = options_all();
    current.is_delayed = false;
    double wide = trained_loss(NULL, model_tiny());
    double losses[] = {trained_loss(&delayed, model_tiny()), trained_loss(&current, model_tiny())};
    printf("%.4f f32, %.4f delayed, %.4f current ", wide, losses[0], losses[1]);
    for (size_t i = 0; i < COUNT(losses); i++) CHECK(fabs(losses[i] - wide) < 0.05 + 0.1 * wide);
}

/* Half an ulp of e4m3 is 2^-4 of a value at most, and of e5m2 2^-3; sums average them. */
static void gradients_stay_near_those_of_f32(void) {
    Float8Options e5m2 = options_all(), e4m3 = options_all(), current = options_all(),
                  weights = options_all();
    e4m3.gradient = DTYPE_F8E4M3;
    current.is_delayed = false;
    weights.forward = weights.dx = false;
    double first = gradient_distance(&e5m2, 0), later = gradient_distance(&e5m2, 2),
           fine = gradient_distance(&e4m3, 2), now = gradient_distance(&current, 0),
           part = gradient_distance(&weights, 2);
    printf("e5m2 %.3f, then %.3f, e4m3 %.3f, current %.3f, dw alone %.3f ", first, later, fine, now,
           part);
    CHECK(first > 0 && first < 0.2 && later > 0 && later < 0.15);
    CHECK(fine < later && now < 0.15 && part < later && part > 0);
}

static void each_choice_of_products_trains(void) {
    for (int choice = 1; choice < 8; choice++) {
        Float8Options options = options_all();
        options.forward = choice & 1, options.dx = choice & 2, options.dw = choice & 4;
        options.head = choice != 5;
        double distance = gradient_distance(&options, 1);
        CHECK(distance > 0 && distance < 0.2);
    }
}

static void accumulation_and_recomputation_agree(void) {
    Float8Options float8 = options_all();
    for (Recompute recompute = RECOMPUTE_NONE; recompute <= RECOMPUTE_BLOCK; recompute++) {
        ModelOptions options = model_tiny();
        options.recompute = recompute;
        options.accumulation = recompute == RECOMPUTE_BLOCK ? 4 : 2;
        double loss = trained_loss(&float8, options), wide = trained_loss(NULL, options);
        CHECK(fabs(loss - wide) < 0.05 + 0.1 * wide);
    }
}

/* After H steps at the same weights the scales are those of the data; they forget a larger step. */
static void scales_follow_the_data(void) {
    Float8Options float8 = options_all();
    TestModel model;
    if (model_open(&float8, model_tiny(), &model)) {
        Parameter *weight = model_parameter(&model, "h.1.mlp.c_fc.weight");
        const float *scale = tensor_data(weight->layer->w.scale);
        float largest = 0;
        for (int64_t i = 0; i < tensor_count(weight->weight); i++)
            largest = fmaxf(largest, fabsf((float)model_get(weight->weight, i)));
        CHECK(*scale == float8_scale(DTYPE_F8E4M3, 1));
        CHECK_OK(model_step(&model, state_at(0, 0), tokens, targets));
        CHECK(*scale == float8_scale(DTYPE_F8E4M3, largest));
        float kept = (float)model_get(weight->weight, 0);
        model_set(weight->weight, 0, 100);
        CHECK_OK(model_step(&model, state_at(1, 0), tokens, targets));
        CHECK(*scale == float8_scale(DTYPE_F8E4M3, 100));
        CHECK(model_get(model.f8->saturated, 0) > 0);
        model_set(weight->weight, 0, (double)kept);
        for (int64_t step = 2; step < 5; step++) {
            CHECK(*scale == float8_scale(DTYPE_F8E4M3, 100));
            CHECK_OK(model_step(&model, state_at(step, 0), tokens, targets));
        }
        CHECK_OK(model_step(&model, state_at(5, 0), tokens, targets));
        CHECK(*scale == float8_scale(DTYPE_F8E4M3, largest));
        CHECK(model_get(model.f8->saturated, 0) == 0);
    }
    test_model_destroy(&model);
}

/* A NaN reaches the norm, the step is skipped, and neither scales nor observations keep it. */
static void not_a_number_is_visible(void) {
    Float8Options float8 = options_all();
    TestModel model;
    const float bad[] = {NAN, INFINITY};
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (!model_open(&float8, model_tiny(), &model)) break;
        Parameter *weight = model_parameter(&model, "h.0.mlp.c_proj.weight");
        CHECK_OK(model_step(&model, state_at(0, 0), tokens, targets));
        double kept = model_get(weight->weight, 5);
        model_set(weight->weight, 5, (double)bad[i]);
        CHECK_OK(model_step(&model, state_at(1, 1e-2f), tokens, targets));
        CHECK(!isfinite(model_norm(&model)));
        model_set(weight->weight, 5, kept);
        CHECK_OK(model_step(&model, state_at(2, 1e-2f), tokens, targets));
        CHECK(isfinite(model_norm(&model)));
        for (int64_t s = 0; s < model.f8->sites; s++) {
            double scale = model_get(model.f8->scale, s * SCALE_STRIDE);
            CHECK(isfinite(scale) && scale > 0);
        }
        test_model_destroy(&model);
    }
}

static void sizes_that_do_not_fit_are_refused(void) {
    Float8Options float8 = options_all();
    ModelOptions options = model_tiny();
    TestModel model;
    options.float8 = &float8;
    options.config.Vp = 72;
    CHECK_ERROR(model_record(&options, &model), STATUS_CONFIG, "lm_head: eight-bit products need");
    test_model_destroy(&model);
    float8.head = false;
    CHECK_OK(model_record(&options, &model));
    test_model_destroy(&model);
}

/* Products read x in eight bits only, so backward keeps half of a bf16 x and a quarter of an f32.
 */
static void activations_are_kept_in_eight_bits(void) {
    Float8Options float8 = options_all();
    ModelOptions options = model_tiny();
    TestModel wide, narrow;
    options.config.L = 8;
    options.B = 16;
    bool both = CHECK_OK(model_record(&options, &wide));
    options.float8 = &float8;
    if (both && CHECK_OK(model_record(&options, &narrow))) {
        size_t before = training_largest_plan(wide.training)->by_kind[BUFFER_ACTIVATIONS],
               after = training_largest_plan(narrow.training)->by_kind[BUFFER_ACTIVATIONS];
        printf("%zu -> %zu KiB ", before >> 10, after >> 10);
        CHECK(after < before);
    }
    test_model_destroy(&wide);
    test_model_destroy(&narrow);
}

/* All norms but the one before the head, whose result the loss reads in parts, leave no 16-bit
 * result; a recomputed block has its norms twice. */
static void norms_write_the_operands_of_layers(void) {
    for (Recompute recompute = RECOMPUTE_NONE; recompute <= RECOMPUTE_BLOCK; recompute++) {
        Float8Options float8 = options_all();
        ModelOptions options = model_tiny();
        TestModel model;
        int64_t norms = 0, fused = 0;
        options.float8 = &float8;
        options.recompute = recompute;
        if (CHECK_OK(model_record(&options, &model))) {
            const Program *p = training_program(model.training, 0, MICRO_ONLY);
            for (int i = 0; i < p->n_nodes; i++) {
                if (p->nodes[i]->op != &layernorm_op) continue;
                norms++;
                fused += p->nodes[i]->inputs[NORM_SCALE] != NULL;
            }
            int64_t times = recompute == RECOMPUTE_BLOCK ? 2 : 1;
            CHECK(norms == fused + 1 && fused == times * 2 * options.config.L);
        }
        test_model_destroy(&model);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(losses_stay_near_those_of_f32),
                          TEST(gradients_stay_near_those_of_f32),
                          TEST(each_choice_of_products_trains),
                          TEST(accumulation_and_recomputation_agree),
                          TEST(scales_follow_the_data),
                          TEST(not_a_number_is_visible),
                          TEST(sizes_that_do_not_fit_are_refused),
                          TEST(activations_are_kept_in_eight_bits),
                          TEST(norms_write_the_operands_of_layers)};
    return harness_run(argc, argv, "float8_training", tests, COUNT(tests));
}
