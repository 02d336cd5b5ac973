#include "tests/nn/gradients_helper.h"

#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS = 6 };

int32_t tokens[ROWS * MAX_T], targets[ROWS * MAX_T];

const StepState still = {
    .seed = 7, .step = 3, .first_sample = 8, .adam_step = 1, .lr = 0, .loss_scale = 1};

ModelOptions options_f64(int64_t B, int64_t accumulation, double dropout, const char *backend) {
    ModelOptions options = model_tiny();
    options.config =
        (ModelConfig){MODEL_CONFIG_DEFAULTS, .V = 29, .Vp = 32, .T = 9, .L = 2, .NH = 2, .C = 8,
                      .dropout = dropout};
    options.dtype = DTYPE_F64;
    options.B = B;
    options.accumulation = accumulation;
    options.backend = backend;
    return options;
}

/* Weights far from the initialization, so that every gradient is significant; a function of name
 * and element. */
static void weights_spread(const TestModel *model) {
    for (int k = 0; k < model->parameters->count; k++) {
        const Parameter *parameter = model->parameters->list[k];
        int64_t columns = parameter->n_dims == 2 ? parameter->shape[1] : 1,
                count = parameter->init_rows * columns;
        for (int64_t i = 0; i < count; i++) {
            double wave =
                sin(1.7 * (double)i + 0.9 * (double)k) + cos(0.37 * (double)(i * i % 101));
            model_set(parameter->weight, i, 0.3 * wave + (parameter->init == INIT_ONES ? 1 : 0));
        }
    }
}

bool model_open(const ModelOptions *options, TestModel *model) {
    if (!CHECK_OK(test_model_create(options, model))) return false;
    weights_spread(model);
    model_batch(model, ROWS, tokens, targets);
    return CHECK_OK(model_step(model, still, tokens, targets));
}

static double loss_at(TestModel *model, const Tensor *weight, int64_t i, double value) {
    model_set(weight, i, value);
    CHECK_OK(model_step(model, still, tokens, targets));
    return model_loss(model);
}

static double difference(TestModel *model, const Tensor *weight, int64_t i) {
    const double h = 5e-4, w = model_get(weight, i);
    double near = loss_at(model, weight, i, w + h) - loss_at(model, weight, i, w - h);
    double far = loss_at(model, weight, i, w + 2 * h) - loss_at(model, weight, i, w - 2 * h);
    model_set(weight, i, w);
    return (8 * near - far) / (12 * h);
}

/* The largest error of a parameter's gradient, relative to its largest element. */
static double parameter_error(TestModel *model, const Parameter *parameter) {
    int64_t count = tensor_count(parameter->grad), step = count > ELEMENTS ? count / ELEMENTS : 1;
    double grads[32 * 32], most = 0, worst = 0;
    for (int64_t i = 0; i < count; i++) grads[i] = model_get(parameter->grad, i);
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(grads[i]));
    for (int64_t i = step / 2; i < count; i += step) {
        double wanted = difference(model, parameter->weight, i);
        worst = fmax(worst, fabs(grads[i] - wanted) / fmax(fabs(wanted), 1e-2 * most + 1e-7));
    }
    return worst;
}

/* The finite differences overwrite gradients, so each parameter starts from fresh ones. */
void check_gradients(ModelOptions options) {
    TestModel model;
    double worst = 0;
    bool ready = model_open(&options, &model);
    for (int k = 0; ready && k < model.parameters->count; k++) {
        CHECK_OK(model_step(&model, still, tokens, targets));
        double error = parameter_error(&model, model.parameters->list[k]);
        if (!(error <= 1e-6))
            printf("\n    %s is off by %.1e", model.parameters->list[k]->name, error);
        worst = fmax(worst, error);
        CHECK(error <= 1e-6);
    }
    printf("%.1e ", worst);
    test_model_destroy(&model);
}

/* All gradients of one step over the same eight rows. */
static double *gradients_of(ModelOptions options, double *loss, int64_t *count) {
    TestModel model;
    double *grads = NULL;
    if (model_open(&options, &model)) {
        const Tensor *flat = model.parameters->grads->flat;
        grads = malloc(tensor_bytes(flat));
        memcpy(grads, tensor_data(flat), tensor_bytes(flat));
        *loss = model_loss(&model);
        *count = tensor_count(flat);
    }
    test_model_destroy(&model);
    return grads;
}

void check_same(ModelOptions a, ModelOptions b, double tolerance) {
    double loss_a = 0, loss_b = 1, worst = 0;
    int64_t count = 0;
    double *grads_a = gradients_of(a, &loss_a, &count), *grads_b = gradients_of(b, &loss_b, &count);
    if (grads_a != NULL && grads_b != NULL) {
        for (int64_t i = 0; i < count; i++) worst = fmax(worst, fabs(grads_a[i] - grads_b[i]));
        CHECK(worst <= tolerance);
        CHECK(fabs(loss_a - loss_b) <= tolerance);
    }
    free(grads_a);
    free(grads_b);
}
