#include "tests/nn/model_helper.h"

#include "nn/optim/adamw.h"
#include "nn/optim/groups.h"
#include "tests/harness.h"

#include <string.h>

ModelOptions model_tiny(void) {
    return (ModelOptions){
        .config = {MODEL_CONFIG_DEFAULTS, .V = 61, .Vp = 64, .T = 16, .L = 2, .NH = 4, .C = 32},
        .dtype = DTYPE_F32,
        .B = 2,
        .accumulation = 1,
        .threads = 1,
        .adamw = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8},
        .weight_decay = 0.1,
        .clip = 1.0,
        .seed = 1337,
    };
}

static Status training_of(TestModel *model) {
    const ModelOptions *o = &model->options;
    model->choice = (KernelChoice){.count = o->backend == NULL ? 0 : 1, .names = {o->backend}};
    TrainingPhase phase = {.accumulation = o->accumulation};
    TrainingOptions options = {
        .B = o->B,
        .T = o->config.T,
        .phases = &phase,
        .n_phases = o->accumulation > 0,
        .ranks = o->collectives == NULL ? 1 : o->collectives->size,
        .collectives = o->collectives,
        .embedding_rows = o->embedding_rows,
        .attention = &model->choice,
        .document_mask = o->document_mask,
        .end_of_text = o->end_of_text,
        .logits_bytes = o->logits_bytes == 0 ? (size_t)1 << 30 : o->logits_bytes,
        .clip = o->clip,
        .recompute = o->recompute,
        .measures_noise = o->measures_noise,
        .f8 = model->f8,
    };
    return training_create(model->model, model->parameters, &model->tensors, model->device->target,
                           &options, &model->training);
}

Status model_record(const ModelOptions *options, TestModel *out) {
    *out = (TestModel){.options = *options};
    TRY(device_open_cpu(options->threads, &out->device));
    TRY(store_create(&out->store));
    TRY(parameters_create(out->store, options->dtype, true, &out->parameters));
    const Collectives *c = options->collectives;
    if (c != NULL)
        out->parameters->sharding = (Sharding){c->rank, c->size, options->shards_optimizer};
    GroupOptions kinds[PARAMETER_KINDS];
    groups_adamw(kinds, options->adamw, options->weight_decay);
    if (options->matrices != NULL)
        kinds[PARAMETER_MATRIX] =
            (GroupOptions){options->matrices, options->matrix_options, 1, options->weight_decay};
    TRY(groups_add(out->parameters, NULL, kinds));
    TRY(model_create(&options->config, out->parameters, &out->model));
    if (options->float8 != NULL)
        TRY(float8_create(options->float8, out->model, out->parameters, &out->f8));
    TRY(step_tensors_create(out->store, options->B, options->config.T, options->dtype,
                            &out->tensors));
    return training_of(out);
}

void model_visit_ops(void (*visit)(const Op *op, void *self), void *self) {
    for (Recompute recompute = RECOMPUTE_NONE; recompute <= RECOMPUTE_BLOCK; recompute++) {
        ModelOptions options = model_tiny();
        TestModel model;
        options.recompute = recompute;
        options.config.dropout = 0.1;
        options.document_mask = true;
        options.measures_noise = true;
        if (CHECK_OK(model_record(&options, &model))) {
            const Program *p = model.training->programs[MICRO_MEASURED].program;
            for (int i = 0; i < p->n_nodes; i++) visit(p->nodes[i]->op, self);
        }
        test_model_destroy(&model);
    }
}

Status test_model_create(const ModelOptions *options, TestModel *out) {
    TRY(model_record(options, out));
    TRY(store_allocate(out->store, out->device));
    TRY(training_bind(out->training, out->device));
    TRY(float8_initialize(out->f8, out->device));
    return parameters_initialize(out->parameters, out->device, options->seed);
}

void test_model_destroy(TestModel *model) {
    training_destroy(&model->training);
    model_destroy(&model->model);
    parameters_destroy(&model->parameters);
    store_destroy(&model->store);
    device_close(&model->device);
}

Status model_step(TestModel *model, StepState state, const int32_t *tokens,
                  const int32_t *targets) {
    int64_t B = model->options.B, n = model->options.accumulation,
            row = B * model->options.config.T;
    int64_t first_sample = state.first_sample;
    for (int64_t i = 0; i < n; i++) {
        state.first_sample = first_sample + i * B;
        TRY(device_upload(model->device, model->tensors.step, &state));
        TRY(device_upload(model->device, model->tensors.tokens, tokens + i * row));
        TRY(device_upload(model->device, model->tensors.targets, targets + i * row));
        TRY(training_replay(model->training, 0, i, n, model->options.measures_noise));
    }
    return device_synchronize(model->device);
}

Status model_evaluate(TestModel *model, const int32_t *tokens, const int32_t *targets,
                      double *loss) {
    StepState state = {.loss_scale = 1};
    TRY(device_upload(model->device, model->tensors.step, &state));
    TRY(device_upload(model->device, model->tensors.tokens, tokens));
    TRY(device_upload(model->device, model->tensors.targets, targets));
    TRY(device_replay(model->device, model->training->programs[EVALUATION].program));
    int64_t count = tensor_count(model->tensors.losses);
    *loss = 0;
    for (int64_t i = 0; i < count; i++)
        *loss += model_get(model->tensors.losses, i) / (double)count;
    return OK;
}

double model_loss(const TestModel *model) { return model_get(model->tensors.loss, 0); }
double model_norm(const TestModel *model) { return model_get(model->tensors.norm, 0); }

double model_get(const Tensor *t, int64_t i) {
    return t->dtype == DTYPE_F64 ? ((double *)tensor_data(t))[i]
                                 : (double)((float *)tensor_data(t))[i];
}

void model_set(const Tensor *t, int64_t i, double value) {
    if (t->dtype == DTYPE_F64) {
        ((double *)tensor_data(t))[i] = value;
    } else {
        ((float *)tensor_data(t))[i] = (float)value;
    }
}

Parameter *model_parameter(const TestModel *model, const char *name) {
    for (int i = 0; i < model->parameters->count; i++) {
        if (strcmp(model->parameters->list[i]->name, name) == 0) return model->parameters->list[i];
    }
    return NULL;
}

void model_batch(const TestModel *model, int64_t rows, int32_t *tokens, int32_t *targets) {
    int64_t T = model->options.config.T, V = model->options.config.V;
    for (int64_t row = 0; row < rows; row++) {
        int64_t token = (row * 11 + 3) % V;
        for (int64_t t = 0; t < T; t++) {
            int64_t next = (token * 5 + row % 3 + 7) % V;
            tokens[row * T + t] = (int32_t)token;
            targets[row * T + t] = (int32_t)next;
            token = next;
        }
    }
}
