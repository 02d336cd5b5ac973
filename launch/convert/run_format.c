/* This project's format: reads a run's checkpoint, and creates a run from other weights. */
#include "core/base/checked.h"
#include "core/base/file.h"
#include "data/directory.h"
#include "launch/base/text_file.h"
#include "launch/config/config_load.h"
#include "launch/convert/formats.h"
#include "launch/run/experiment.h"
#include "launch/run/run_checkpoint.h"
#include "launch/run/run_directory.h"
#include "launch/run/state.h"
#include "nn/models/gpt2.h"
#include "nn/optim/adamw.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */

/* A tensor with its padding rows, if it has any: (Vp, C) of wte. */
static Status padded_read(const CheckpointFile *file, const CheckpointTensor *info,
                          ModelTensor *t) {
    size_t bytes = dtype_size(info->dtype);
    bool fits = info->n_dims == t->n_dims && info->shape[0] >= t->shape[0] &&
                (t->n_dims == 1 || info->shape[1] == t->shape[1]);
    for (int d = 0; d < info->n_dims; d++)
        fits = fits && checked_mul(bytes, (size_t)info->shape[d], &bytes);
    if (!fits)
        return ERROR(STATUS_DATA, "%s: tensor '%s' does not fit the config", checkpoint_path(file),
                     info->name);
    void *values = malloc(bytes);
    if (values == NULL) return ERROR(STATUS_NO_ROOM, "%s: out of memory", checkpoint_path(file));
    Status status = checkpoint_read_tensor(file, info, values);
    if (!failed(status) && !values_to_f32(values, info->dtype, tensor_elements(t), t->data)) {
        status = ERROR(STATUS_DATA, "%s: tensor '%s' is not of a floating-point type",
                       checkpoint_path(file), info->name);
    }
    free(values);
    return status;
}

/* Biases that the run does not have are zeros in other formats. */
static Status weight_read(const CheckpointFile *file, bool bias, Arena *arena, ModelTensor *t) {
    const char *name = arena_printf(arena, "weights.%s", t->name);
    if (name == NULL) return ERROR(STATUS_NO_ROOM, "%s: out of memory", checkpoint_path(file));
    size_t length = strlen(name);
    bool is_bias = length > 5 && strcmp(name + length - 5, ".bias") == 0;
    if (is_bias && !bias && !checkpoint_has_tensor(file, name)) return OK;
    CheckpointTensor info;
    TRY(checkpoint_tensor_info(file, name, &info));
    TRY(padded_read(file, &info, t));
    return values_check_finite(checkpoint_path(file), t->name, t->data, tensor_elements(t),
                               t->n_dims == 2 ? t->shape[1] : 0);
}

static Status weights_read(const CheckpointFile *file, Arena *arena, ModelWeights **out) {
    char *text;
    Config *config;
    TRY(checkpoint_read_text(file, "config", arena, &text));
    TRY(config_load_text(text, checkpoint_path(file), 0, NULL, &config));
    ModelConfig model = experiment_model_config(config, config->model.V);
    config_destroy(&config);
    if (!gpt2_describes(&model)) {
        return ERROR(STATUS_UNSUPPORTED, "%s: the run's layers are not GPT-2's",
                     checkpoint_path(file));
    }
    TRY(model_weights_create(checkpoint_path(file), &gpt2_family, &model, out));
    TRY(model_weights_allocate(*out, checkpoint_path(file)));
    for (int i = 0; i < (*out)->count; i++)
        TRY(weight_read(file, model.bias, arena, &(*out)->tensors[i]));
    return checkpoint_read_text(file, "tokenizer", &(*out)->arena, &(*out)->tokenizer);
}

Status run_import(const char *path, ModelWeights **out) {
    Arena arena = {0};
    CheckpointFile *file = NULL;
    *out = NULL;
    const char *warnings = "";
    Status status = run_checkpoint_open(path, &arena, &file, &warnings);
    status_warn("convert", warnings);
    if (!failed(status)) status = weights_read(file, &arena, out);
    if (failed(status)) model_weights_destroy(out);
    checkpoint_close(&file);
    arena_free(&arena);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Sufficient to generate text. */
static Status config_default(const ModelConfig *s, Arena *arena, Config **out) {
    const char *text = arena_printf(
        arena,
        "name: converted\ndata: {train: data/train.h5, batch_size: 1}\n"
        "model: {n_layer: %lld, n_head: %lld, n_embd: %lld, block_size: %lld, vocab_size: %lld}\n"
        "training: {stop: {steps: 1}}\n",
        (long long)s->L, (long long)s->NH, (long long)s->C, (long long)s->T, (long long)s->V);
    if (text == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for a config");
    return config_load_text(text, "the converted model", 0, NULL, out);
}

static Status number_check(const char *path, const char *key, int64_t is, int64_t wanted) {
    if (is == wanted) return OK;
    return ERROR(STATUS_CONFIG, "%s: %s is %lld, but the weights have %lld", path, key,
                 (long long)is, (long long)wanted);
}

/* The config for further training must describe this model, with all values resolved. */
static Status config_check(const char *path, const ModelConfig *s, Config *config) {
    ModelConfig *m = &config->model;
    if (m->V == CONFIG_AUTO) m->V = s->V;
    TRY(number_check(path, "model.n_layer", m->L, s->L));
    TRY(number_check(path, "model.n_head", m->NH, s->NH));
    TRY(number_check(path, "model.n_embd", m->C, s->C));
    TRY(number_check(path, "model.block_size", m->T, s->T));
    TRY(number_check(path, "model.vocab_size", m->V, s->V));
    if (!m->bias || !gpt2_describes(m)) {
        return ERROR(STATUS_CONFIG, "%s: the weights are GPT-2's, with biases, but 'model' is not",
                     path);
    }
    if (config->data.batch_size == CONFIG_AUTO)
        return ERROR(STATUS_CONFIG, "%s: data.batch_size must be a number here", path);
    if (config->training.dtype != CONFIG_DTYPE_FLOAT64) return OK;
    return ERROR(STATUS_CONFIG,
                 "%s: training.dtype is float64, but weights are converted in float32", path);
}

/* The content of a snapshot: weights, and moments that are zero. */
typedef struct Snapshot {
    CheckpointTensor *tensors;
    int64_t n;
    int64_t Vp;
    float *zeros; /* as many as the largest tensor has */
} Snapshot;

static int64_t rows_padded(const Snapshot *s, const ModelTensor *t) {
    return tensor_has_vocabulary(t) ? s->Vp : t->shape[0];
}

static Status tensor_add(Snapshot *s, const char *prefix, const ModelTensor *t, const float *data,
                         Arena *arena) {
    const char *name = arena_printf(arena, "%s.%s", prefix, t->name);
    if (name == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for a list of tensors");
    s->tensors[s->n++] = (CheckpointTensor){.name = name,
                                            .dtype = DTYPE_F32,
                                            .n_dims = t->n_dims,
                                            .shape = {rows_padded(s, t), t->shape[1]},
                                            .data = data};
    return OK;
}

/* The weights with zero padding rows. */
static Status data_padded(const Snapshot *s, const ModelTensor *t, Arena *arena,
                          const float **out) {
    *out = t->data;
    if (rows_padded(s, t) == t->shape[0]) return OK;
    float *padded = arena_alloc(arena, (size_t)(s->Vp * t->shape[1]) * sizeof *padded);
    if (padded == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for a checkpoint");
    memcpy(padded, t->data, (size_t)tensor_elements(t) * sizeof *padded);
    *out = padded;
    return OK;
}

static Status snapshot_fill(Snapshot *s, const ModelWeights *m, Arena *arena) {
    for (int i = 0; i < m->count; i++) {
        const ModelTensor *t = &m->tensors[i];
        const float *data;
        TRY(data_padded(s, t, arena, &data));
        TRY(tensor_add(s, "weights", t, data, arena));
        for (const OptimizerState *state = adamw_optimizer.states; state->name != NULL; state++)
            TRY(tensor_add(s, state->name, t, s->zeros, arena));
    }
    return OK;
}

static Status snapshot_make(const ModelWeights *m, int64_t Vp, Arena *arena, Snapshot *out) {
    int64_t most = 0;
    *out = (Snapshot){
        .tensors = arena_alloc(arena, (size_t)m->count * STATE_KINDS_MAX * sizeof *out->tensors),
        .Vp = Vp};
    for (int i = 0; i < m->count; i++) {
        const ModelTensor *t = &m->tensors[i];
        int64_t elements = rows_padded(out, t) * (t->n_dims == 2 ? t->shape[1] : 1);
        most = elements > most ? elements : most;
    }
    out->zeros = arena_alloc(arena, (size_t)most * sizeof(float));
    if (out->tensors == NULL || out->zeros == NULL)
        return ERROR(STATUS_NO_ROOM, "out of memory for a checkpoint");
    return snapshot_fill(out, m, arena);
}

static CheckpointValue i64_value(const char *name, int64_t value) {
    return (CheckpointValue){.name = name, .kind = CHECKPOINT_I64, .i64 = value};
}

static CheckpointValue f64_value(const char *name, double value) {
    return (CheckpointValue){.name = name, .kind = CHECKPOINT_F64, .f64 = value};
}

/* Other formats do not name the tokenizer, but few vocabularies have these sizes. GPT-2's is often
 * padded to 50304. */
static const char *tokenizer_of(const ModelWeights *m) {
    int64_t V = m->config.V;
    if (m->tokenizer != NULL) return m->tokenizer;
    return V == 257 ? "byte" : V == 50257 || V == 50304 ? "gpt2" : TOKENIZER_UNKNOWN;
}

/* A run at step 0; launch/run/state.c defines the format. */
static Status first_save(const Snapshot *s, const ModelWeights *m, const Config *config,
                         const char *text, const char *folder) {
    double scale = loss_scale_start(config_dtype(config)).scale;
    const CheckpointValue values[] = {
        i64_value("step", 0),
        i64_value("tokens", 0),
        i64_value("samples", 0),
        f64_value("train_s", 0),
        f64_value("best_val_loss", 0),
        i64_value("best_step", -1),
        f64_value("val_loss", 0),
        i64_value("evaluated_step", -1),
        f64_value("loss_scale", scale),
        i64_value("loss_scale_good_steps", 0),
        i64_value("updates", 0),
        i64_value("seed", (int64_t)config->seed),
        i64_value("world_size", 1),
        {.name = "config", .kind = CHECKPOINT_TEXT, .text = text},
        {.name = "tokenizer", .kind = CHECKPOINT_TEXT, .text = tokenizer_of(m)}};
    CheckpointContents contents = {s->tensors, s->n, values, sizeof values / sizeof *values};
    return checkpoint_save(&contents, folder, 0, (CheckpointKeep){1, -1});
}

/* In a new directory. */
static Status files_write(const Snapshot *snapshot, const ModelWeights *m, const Config *config,
                          const char *text, const char *folder) {
    char yaml[PATH_MAX], checkpoint[PATH_MAX];
    snprintf(yaml, sizeof yaml, "%s/config.yaml", config->output);
    snprintf(checkpoint, sizeof checkpoint, "%s/step_%08d.h5", folder, 0);
    Status status = first_save(snapshot, m, config, text, folder);
    if (!failed(status)) status = text_file_replace(yaml, text);
    if (failed(status)) file_remove(checkpoint);
    return status;
}

static Status run_write(const ModelWeights *m, Config *config, Arena *arena) {
    Snapshot snapshot;
    size_t made;
    char *text = config_text(config);
    const char *folder = arena_printf(arena, "%s/checkpoints", config->output);
    Status status = text == NULL || folder == NULL
                        ? ERROR(STATUS_NO_ROOM, "%s: out of memory", config->output)
                        : OK;
    if (!failed(status))
        status =
            snapshot_make(m, experiment_model_config(config, config->model.V).Vp, arena, &snapshot);
    if (!failed(status)) status = directory_create(folder, &made);
    if (!failed(status)) {
        status = files_write(&snapshot, m, config, text, folder);
        if (failed(status)) directory_undo(folder, made);
    }
    free(text);
    return status;
}

Status run_export(const ModelWeights *model, const char *path, const char *config_file) {
    Arena arena = {0};
    Config *config = NULL;
    RunDirectory directory = {0};
    TRY(output_check_new(path));
    Status status = config_file == NULL ? config_default(&model->config, &arena, &config)
                                        : config_load(config_file, 0, NULL, &config);
    if (!failed(status))
        status = config_check(config_file == NULL ? path : config_file, &model->config, config);
    if (!failed(status))
        status = run_directory_take(path, &directory_of_a_conversion, false, &directory);
    if (!failed(status)) {
        config->output = path;
        status = run_write(model, config, &arena);
    }
    run_directory_release(&directory);
    config_destroy(&config);
    arena_free(&arena);
    return status;
}
