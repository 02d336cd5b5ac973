/* Prints what the model of a run computes, for tests that compare it with other programs:
 *
 *   mpi_model_values RUN TOKENS OUT
 *
 * TOKENS holds block_size + 1 tokens as i32, OUT receives records of tests/golden/golden.h: the
 * logits (block_size, vocabulary), the mean loss, and the gradient of each parameter, `weights`
 * without the padding of the vocabulary. On the CPU, in f32. */
#include "core/ops/linear.h"
#include "launch/config/config_load.h"
#include "launch/run/experiment.h"
#include "launch/run/run_checkpoint.h"
#include "tests/nn/model_helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Values {
    TestModel model;
    Tensor *logits; /* (1, T, Vp) */
    BoundProgram forward;
    int32_t *tokens; /* (T + 1) */
    FILE *out;
} Values;

/* ---- the model ------------------------------------------------------------------------------- */

static Status config_read(const CheckpointFile *file, ModelConfig *out) {
    Arena arena = {0};
    Config *config = NULL;
    char *text = NULL;
    Status status = checkpoint_read_text(file, "config", &arena, &text);
    if (!failed(status)) status = config_load_text(text, checkpoint_path(file), 0, NULL, &config);
    if (!failed(status)) *out = experiment_model_config(config, config->model.V);
    config_destroy(&config);
    arena_free(&arena);
    return status;
}

static Status weights_read(const CheckpointFile *file, Parameters *parameters) {
    for (int i = 0; i < parameters->count; i++) {
        char name[160];
        CheckpointTensor info;
        Tensor *weight = parameters->list[i]->weight;
        snprintf(name, sizeof name, "weights.%s", parameters->list[i]->name);
        TRY(checkpoint_tensor_info(file, name, &info));
        int64_t count = 1;
        for (int d = 0; d < info.n_dims; d++) count *= info.shape[d];
        if (count != tensor_count(weight))
            return ERROR(STATUS_DATA, "%s has %lld elements", name, (long long)count);
        TRY(checkpoint_read_tensor(file, &info, tensor_data(weight)));
    }
    return OK;
}

static Status programs_make(Values *v) {
    TestModel *model = &v->model;
    ModelConfig *c = &model->options.config;
    Section *section;
    int64_t shape[] = {1, c->T, c->Vp};
    TRY(model_record(&model->options, model));
    TRY(store_section(model->store, "logits", BUFFER_INPUTS, DTYPE_F32, &section));
    TRY(section_add(model->store, section, "logits", 3, shape, &v->logits));
    TRY(program_create(model->device->target, false, &v->forward.program));
    ForwardContext context = {.attention = &model->choice, .step = model->tensors.step};
    Tensor *x = model_forward(v->forward.program, model->model, model->tensors.tokens, &context);
    linear_into(v->forward.program, v->logits, x, model->model->head->weight);
    TRY(bound_programs_plan(&v->forward, 1));
    TRY(store_allocate(model->store, model->device));
    TRY(training_bind(model->training, model->device));
    return bound_programs_bind(&v->forward, 1, model->device, "activations");
}

static Status model_load(const char *run, Values *v) {
    Arena arena = {0};
    CheckpointFile *file = NULL;
    const char *warnings;
    ModelOptions options = model_tiny();
    options.B = 1;
    Status status = run_checkpoint_open(run, &arena, &file, &warnings);
    if (!failed(status)) status = config_read(file, &options.config);
    v->model.options = options;
    if (!failed(status)) status = programs_make(v);
    if (!failed(status)) status = weights_read(file, v->model.parameters);
    checkpoint_close(&file);
    arena_free(&arena);
    return status;
}

/* ---- values ---------------------------------------------------------------------------------- */

static Status tokens_read(const char *path, int64_t n, int32_t **out) {
    *out = malloc((size_t)n * sizeof **out);
    FILE *file = fopen(path, "rb");
    bool is_read = *out != NULL && file != NULL && fread(*out, 4, (size_t)n, file) == (size_t)n;
    if (file != NULL) fclose(file);
    return is_read ? OK : ERROR(STATUS_DATA, "%s: not %lld tokens", path, (long long)n);
}

/* The first `columns` of each row of `stride` values. */
static void record_write(Values *v, const char *name, const float *values, int64_t rows,
                         int64_t columns, int64_t stride) {
    fprintf(v->out, "%s %lld %lld\n", name, (long long)rows, (long long)columns);
    for (int64_t i = 0; i < rows; i++)
        fwrite(values + i * stride, sizeof(float), (size_t)columns, v->out);
}

static void gradient_write(Values *v, const Parameter *parameter) {
    int64_t rows = parameter->init_rows, columns = parameter->n_dims == 2 ? parameter->shape[1] : 1;
    record_write(v, parameter->name, tensor_data(parameter->grad), rows, columns, columns);
}

static Status values_write(Values *v) {
    TestModel *model = &v->model;
    const ModelConfig *c = &model->options.config;
    const StepState state = {.adam_step = 1, .loss_scale = 1};
    TRY(device_upload(model->device, model->tensors.tokens, v->tokens));
    TRY(device_replay(model->device, v->forward.program));
    record_write(v, "logits", tensor_data(v->logits), c->T, c->V, c->Vp);
    TRY(model_step(model, state, v->tokens, v->tokens + 1));
    float loss = (float)model_loss(model);
    record_write(v, "loss", &loss, 1, 1, 1);
    for (int i = 0; i < model->parameters->count; i++)
        gradient_write(v, model->parameters->list[i]);
    return OK;
}

int main(int argc, char **argv) {
    Values v = {.out = argc == 4 ? fopen(argv[3], "wb") : NULL};
    Status status = v.out == NULL ? ERROR(STATUS_USAGE, "usage: RUN TOKENS OUT") : OK;
    if (!failed(status)) status = model_load(argv[1], &v);
    if (!failed(status)) status = tokens_read(argv[2], v.model.options.config.T + 1, &v.tokens);
    if (!failed(status)) status = values_write(&v);
    bound_programs_destroy(&v.forward, 1);
    test_model_destroy(&v.model);
    free(v.tokens);
    if (v.out != NULL) fclose(v.out);
    return status_report("mpi_model_values", status);
}
