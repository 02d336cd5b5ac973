/* This project's format: reads a run's checkpoint, and creates a run from other weights. */
#include "checkpoints/shards.h"
#include "core/base/checked.h"
#include "core/base/escape.h"
#include "core/base/file.h"
#include "data/directory.h"
#include "launch/base/text_file.h"
#include "launch/config/config_load.h"
#include "launch/convert/formats.h"
#include "launch/convert/model_keys.h"
#include "launch/convert/tokenizer_files.h"
#include "launch/run/config_groups.h"
#include "launch/run/experiment.h"
#include "launch/run/run_checkpoint.h"
#include "launch/run/run_directory.h"
#include "launch/run/state.h"

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
    if (values == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", checkpoint_path(file));
    Status status = checkpoint_read_tensor(file, info, values);
    if (!failed(status) && !values_to_f32(values, info->dtype, tensor_elements(t), t->data)) {
        status = ERROR(STATUS_DATA, "%s: tensor '%s' is not of a floating-point type",
                       checkpoint_path(file), info->name);
    }
    free(values);
    return status;
}

static Status weight_read(const CheckpointFile *file, Arena *arena, ModelTensor *t) {
    const char *name = arena_printf(arena, "weights.%s", t->name);
    if (name == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", checkpoint_path(file));
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
    TRY(model_weights_create(checkpoint_path(file), &model, out));
    TRY(model_weights_allocate(*out, checkpoint_path(file)));
    for (int i = 0; i < (*out)->count; i++) TRY(weight_read(file, arena, &(*out)->tensors[i]));
    int64_t hash;
    if (!failed(checkpoint_read_i64(file, "tokenizer_hash", &hash)))
        (*out)->tokenizer_hash = (uint64_t)hash;
    return checkpoint_read_text(file, "tokenizer", &(*out)->arena, &(*out)->tokenizer);
}

Status run_import(const char *path, const ModelReading *reading, ModelWeights **out) {
    Arena arena = {0};
    CheckpointFile *file = NULL;
    *out = NULL;
    const char *warnings = "";
    Status status = run_checkpoint_open(path, &arena, &file, &warnings);
    model_warn(reading, warnings);
    if (!failed(status)) status = weights_read(file, &arena, out);
    if (failed(status)) model_weights_destroy(out);
    checkpoint_close(&file);
    arena_free(&arena);
    return status;
}

Status checkpoint_merge(const char *from, const char *to) {
    Arena arena = {0};
    CheckpointFile *file = NULL;
    const char *warnings = "", *source;
    Format format;
    Status status = format_of_source(from, &arena, &format, &source);
    if (!failed(status) && format != FORMAT_RUN)
        status =
            ERROR(STATUS_USAGE,
                  "%s: only a checkpoint of shards becomes *.h5; give *.safetensors, *.bin, or "
                  "a run directory, such as runs/converted",
                  to);
    if (!failed(status)) status = run_checkpoint_open(from, &arena, &file, &warnings);
    status_warn("convert", warnings);
    if (!failed(status)) status = shards_merge(file, to);
    if (!failed(status))
        escape_say(stdout, "%s: step %lld of %s", to, (long long)checkpoint_step(file),
                   checkpoint_path(file));
    checkpoint_close(&file);
    arena_free(&arena);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The last error, of a line in a config that nobody wrote, as one of the weights. */
static Status value_error(const char *path) {
    const char *start = strstr(status_message(), ": error: ");
    start = start == NULL ? status_message() : start + strlen(": error: ");
    return ERROR(STATUS_DATA, "%s: %.*s", path, (int)strcspn(start, "\n"), start);
}

/* The model is written key by key and read again, which checks it. */
Status run_config_of(const char *path, const ModelConfig *model, Config **out) {
    static const char rest[] = "name: converted\ndata: {train: data/train.h5, batch_size: 1}\n"
                               "model: {n_layer: 1, n_head: 1, n_embd: 1, block_size: 1}\n"
                               "training: {stop: {steps: 1}}\n";
    Config *config;
    TRY(config_load_text(rest, "the converted model", 0, NULL, &config));
    config->model = model_config_abridged(*model);
    char *text = config_text(config);
    config_destroy(&config);
    if (text == NULL) return OUT_OF_MEMORY("a config");
    Status status = config_load_text(text, path, 0, NULL, out);
    free(text);
    return status.code == STATUS_CONFIG ? value_error(path) : status;
}

/* The config for further training must describe this model, with all values resolved. */
static Status config_check(const char *path, const ModelConfig *model, Config *config) {
    if (config->model.V == CONFIG_AUTO) config->model.V = model->V;
    TRY(model_keys_check(STATUS_CONFIG, path, &config->model, model));
    if (config->data.batch_size == CONFIG_AUTO)
        return ERROR(STATUS_CONFIG, "%s: data.batch_size must be a number here", path);
    if (config->training.dtype != CONFIG_DTYPE_FLOAT64) return OK;
    return ERROR(STATUS_CONFIG,
                 "%s: training.dtype is float64, but weights are converted in float32", path);
}

/* The content of a checkpoint: weights, and states of the optimizer that are zero. */
typedef struct Snapshot {
    Store *store; /* of the parameters that ./train declares, without memory */
    Parameters *parameters;
    Model *model;
    CheckpointTensor *tensors;
    int64_t n;
    float *zeros; /* as many as the largest tensor has */
} Snapshot;

static Status snapshot_declare(const Config *config, Snapshot *out) {
    ModelConfig model = experiment_model_config(config, config->model.V);
    TRY(store_create(&out->store));
    TRY(parameters_create(out->store, DTYPE_F32, true, &out->parameters));
    TRY(config_groups_add(config, 1, out->parameters));
    return model_create(&model, out->parameters, &out->model);
}

static void snapshot_destroy(Snapshot *snapshot) {
    model_destroy(&snapshot->model);
    parameters_destroy(&snapshot->parameters);
    store_destroy(&snapshot->store);
}

/* A state with fewer elements than the weight has one per row. */
static Status tensor_add(Snapshot *s, int kind, const Parameter *parameter, const float *data,
                         Arena *arena) {
    int64_t count = parameters_state_range(s->parameters, kind, parameter).count;
    const char *name =
        arena_printf(arena, "%s.%s", parameters_state_name(s->parameters, kind), parameter->name);
    if (name == NULL) return OUT_OF_MEMORY("a list of tensors");
    if (count == 0) return OK;
    s->tensors[s->n++] = (CheckpointTensor){
        .name = name,
        .dtype = DTYPE_F32,
        .n_dims = count == tensor_count(parameter->weight) ? parameter->n_dims : 1,
        .shape = {parameter->shape[0], parameter->shape[1]},
        .data = data};
    return OK;
}

/* The weights with zero padding rows. */
static Status data_padded(const Parameter *parameter, const ModelTensor *t, Arena *arena,
                          const float **out) {
    *out = t->data;
    if (parameter->shape[0] == t->shape[0]) return OK;
    float *padded = arena_alloc(arena, (size_t)tensor_count(parameter->weight) * sizeof *padded);
    if (padded == NULL) return OUT_OF_MEMORY("a checkpoint");
    memcpy(padded, t->data, (size_t)tensor_elements(t) * sizeof *padded);
    *out = padded;
    return OK;
}

static Status snapshot_fill(Snapshot *s, const ModelWeights *m, Arena *arena) {
    for (int i = 0; i < s->parameters->count; i++) {
        const Parameter *parameter = s->parameters->list[i];
        const float *data;
        TRY(data_padded(parameter, model_weights_find(m, parameter->name), arena, &data));
        TRY(tensor_add(s, STATE_WEIGHTS, parameter, data, arena));
        for (int kind = 1; kind < parameters_state_count(s->parameters); kind++)
            TRY(tensor_add(s, kind, parameter, s->zeros, arena));
    }
    return OK;
}

static Status snapshot_make(const ModelWeights *m, const Config *config, Arena *arena,
                            Snapshot *out) {
    int64_t most = 0;
    TRY(snapshot_declare(config, out));
    for (int i = 0; i < out->parameters->count; i++) {
        int64_t elements = tensor_count(out->parameters->list[i]->weight);
        most = elements > most ? elements : most;
    }
    out->tensors = arena_alloc(arena, (size_t)m->count * STATE_KINDS_MAX * sizeof *out->tensors);
    out->zeros = arena_alloc(arena, (size_t)most * sizeof(float));
    if (out->tensors == NULL || out->zeros == NULL) return OUT_OF_MEMORY("a checkpoint");
    return snapshot_fill(out, m, arena);
}

static CheckpointValue i64_value(const char *name, int64_t value) {
    return (CheckpointValue){.name = name, .kind = CHECKPOINT_I64, .i64 = value};
}

static CheckpointValue f64_value(const char *name, double value) {
    return (CheckpointValue){.name = name, .kind = CHECKPOINT_F64, .f64 = value};
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
        i64_value("tokenizer_hash", (int64_t)m->tokenizer_hash),
        {.name = "config", .kind = CHECKPOINT_TEXT, .text = text},
        {.name = "tokenizer", .kind = CHECKPOINT_TEXT, .text = tokenizer_name_of(m)}};
    CheckpointContents contents = {.tensors = s->tensors,
                                   .n_tensors = s->n,
                                   .values = values,
                                   .n_values = sizeof values / sizeof *values};
    return checkpoint_save(&contents, folder, 0, (CheckpointKeep){1, -1, false});
}

/* In a new directory. */
static Status files_write(const Snapshot *snapshot, const ModelWeights *m, const Config *config,
                          const char *text, const char *folder) {
    char yaml[PATH_MAX], checkpoint[PATH_MAX], name[CHECKPOINT_NAME_BYTES];
    checkpoint_name(0, name);
    snprintf(yaml, sizeof yaml, "%s/config.yaml", config->output);
    snprintf(checkpoint, sizeof checkpoint, "%s/%s", folder, name);
    Status status = first_save(snapshot, m, config, text, folder);
    if (!failed(status)) status = text_file_replace(yaml, text);
    if (failed(status)) file_remove(checkpoint);
    return status;
}

static Status run_write(const ModelWeights *m, Config *config, Arena *arena) {
    Snapshot snapshot = {0};
    size_t made;
    char *text = config_text(config);
    const char *folder = arena_printf(arena, "%s/checkpoints", config->output);
    Status status = text == NULL || folder == NULL
                        ? ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", config->output)
                        : OK;
    if (!failed(status)) status = snapshot_make(m, config, arena, &snapshot);
    if (!failed(status)) status = directory_create(folder, &made);
    if (!failed(status)) {
        status = files_write(&snapshot, m, config, text, folder);
        if (failed(status)) directory_undo(folder, made);
    }
    snapshot_destroy(&snapshot);
    free(text);
    return status;
}

Status run_export(const ModelWeights *model, const char *path, const char *config_file) {
    Arena arena = {0};
    Config *config = NULL;
    RunDirectory directory = {0};
    TRY(output_check_new(path));
    Status status = config_file == NULL ? run_config_of(path, &model->config, &config)
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
