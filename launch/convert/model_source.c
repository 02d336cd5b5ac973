#include "launch/convert/model_source.h"

#include "core/convert.h"
#include "launch/config/config_load.h"
#include "launch/convert/formats.h"
#include "launch/convert/model_keys.h"
#include "launch/convert/tokenizer_files.h"
#include "launch/run/run_checkpoint.h"
#include "launch/run/state.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH_OF_WEIGHTS = 8 };

/* ---- opening --------------------------------------------------------------------------------- */

static Status source_open(const char *path, const char *program, ModelSource *s) {
    const ModelReading reading = {program, HEADS_REQUIRED};
    const char *warnings = "";
    Format format;
    TRY(format_of_source(path, &s->arena, &format, &s->path));
    if (format != FORMAT_RUN) return model_read(format, s->path, &reading, &s->weights);
    TRY(run_checkpoint_open(path, &s->arena, &s->file, &warnings));
    s->path = checkpoint_path(s->file);
    model_warn(&reading, warnings);
    return OK;
}

Status model_source_open(const char *path, const char *program, ModelSource *out) {
    *out = (ModelSource){0};
    Status status = source_open(path, program, out);
    if (failed(status)) model_source_close(out);
    return status;
}

void model_source_close(ModelSource *source) {
    checkpoint_close(&source->file);
    model_weights_destroy(&source->weights);
    arena_free(&source->arena);
    *source = (ModelSource){0};
}

int64_t model_source_step(const ModelSource *source) {
    return source->file == NULL ? 0 : checkpoint_step(source->file);
}

/* ---- config and tokenizer -------------------------------------------------------------------- */

static Status weights_config(const ModelSource *s, int n_overrides, char **overrides,
                             Config **out) {
    Config *plain;
    TRY(run_config_of(s->path, &s->weights->config, &plain));
    plain->data.batch_size = BATCH_OF_WEIGHTS;
    char *text = config_text(plain);
    config_destroy(&plain);
    if (text == NULL) return OUT_OF_MEMORY("a config");
    Status status = config_load_text(text, s->path, n_overrides, overrides, out);
    free(text);
    if (!failed(status))
        status = model_keys_check(STATUS_CONFIG, s->path, &(*out)->model, &s->weights->config);
    return status;
}

/* Tensors of layers that the model lacks would be left out, and rows of a larger vocabulary be
 * zero. Other keys may be tried, and are said. */
static Status changes_check(const ModelSource *s, const ModelConfig *model,
                            const ModelConfig *saved, char *note, size_t bytes) {
    const char *key;
    if (model->L != saved->L || model->V != saved->V)
        return model_keys_check(STATUS_CONFIG, s->path, model, saved);
    if (model_keys_differing(model, saved, &key) == 0) return OK;
    char *is = model_key_text(key, model), *was = model_key_text(key, saved);
    bool is_known = is != NULL && was != NULL;
    if (is_known) snprintf(note, bytes, "%s is %s, but the run has %s", key, is, was);
    free(is);
    free(was);
    return is_known ? OK : OUT_OF_MEMORY("a config");
}

static Status saved_config(ModelSource *s, int n_overrides, char **overrides, Config **out,
                           char *note, size_t bytes) {
    char *text;
    Config *saved;
    TRY(checkpoint_read_text(s->file, "config", &s->arena, &text));
    TRY(config_load_text(text, s->path, n_overrides, overrides, out));
    if (n_overrides == 0) return OK;
    TRY(config_load_text(text, s->path, 0, NULL, &saved));
    Status status = changes_check(s, &(*out)->model, &saved->model, note, bytes);
    config_destroy(&saved);
    return status;
}

Status model_source_config(ModelSource *s, int n_overrides, char **overrides, Config **out,
                           char *note, size_t bytes) {
    if (bytes > 0) *note = '\0';
    return s->weights != NULL ? weights_config(s, n_overrides, overrides, out)
                              : saved_config(s, n_overrides, overrides, out, note, bytes);
}

Status model_source_tokenizer(ModelSource *s, TokenizerId *out) {
    char *name;
    int64_t hash;
    if (s->weights != NULL) {
        *out = (TokenizerId){tokenizer_name_of(s->weights), s->weights->tokenizer_hash};
        return OK;
    }
    TRY(checkpoint_read_text(s->file, "tokenizer", &s->arena, &name));
    if (failed(checkpoint_read_i64(s->file, "tokenizer_hash", &hash)))
        hash = 0; /* written by an older version */
    *out = (TokenizerId){name, (uint64_t)hash};
    return OK;
}

/* ---- weights --------------------------------------------------------------------------------- */

static Status weight_load(const ModelSource *s, const Experiment *e, int index) {
    const Parameter *parameter = e->recorded.parameters->list[index];
    const ModelTensor *from = model_weights_find(s->weights, parameter->name);
    int64_t count = tensor_count(parameter->weight);
    DType dtype = e->recorded.parameters->weights->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    if (from == NULL || tensor_elements(from) > count)
        return ERROR(STATUS_DATA, "%s: its %s does not fit the config", s->path, parameter->name);
    void *values = calloc((size_t)count, dtype_size(dtype));
    if (values == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", s->path);
    for (int64_t i = 0; i < tensor_elements(from); i++)
        real_store(values, dtype, i, (double)from->data[i]);
    Status status =
        parameters_write(e->recorded.parameters, e->device, STATE_WEIGHTS, index, values);
    free(values);
    return status;
}

Status model_source_load(ModelSource *s, const Experiment *e) {
    if (s->file != NULL) return state_load_weights(e, s->file, &s->arena);
    for (int i = 0; i < e->recorded.parameters->count; i++) TRY(weight_load(s, e, i));
    return OK;
}
