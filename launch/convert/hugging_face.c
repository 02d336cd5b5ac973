#include "core/base/file.h"
#include "launch/convert/config_json.h"
#include "launch/convert/formats.h"
#include "launch/convert/weights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "transformer."

/* What is read. */
typedef struct Source {
    const char *path;
    Weights *weights;
    const char *prefix; /* PREFIX or "" */
    const char *config_path;
    json_t *config; /* NULL: there is none */
} Source;

static const SafetensorsEntry *entry_of(const Source *s, const char *name) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", s->prefix, name);
    return weights_find(s->weights, full);
}

static Status matrix_shape(const Source *s, const char *name, int64_t *rows, int64_t *columns) {
    const SafetensorsEntry *entry = entry_of(s, name);
    if (entry == NULL)
        return ERROR(STATUS_DATA, "%s: has no tensor '%s%s'; is it a GPT-2?", s->path, s->prefix,
                     name);
    if (entry->n_dims != 2)
        return ERROR(STATUS_DATA, "%s: tensor '%s' is no matrix", s->path, entry->name);
    *rows = entry->shape[0];
    *columns = entry->shape[1];
    return OK;
}

static int64_t blocks_count(const Source *s) {
    char name[64];
    for (int64_t i = 0;; i++) {
        snprintf(name, sizeof name, "h.%lld.ln_1.weight", (long long)i);
        if (entry_of(s, name) == NULL) return i;
    }
}

/* config.json beside the file; for free(). NULL where memory is out. */
static char *config_path(const char *path) {
    const char *slash = strrchr(path, '/');
    char *out = NULL;
    int directory = slash == NULL ? 0 : (int)(slash - path + 1);
    return asprintf(&out, "%.*sconfig.json", directory, path) < 0 ? NULL : out;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Heads leave no trace in the weights' shapes. */
static Status heads_find(const Source *s, int64_t C, int64_t *out) {
    if (*out > 0) return OK;
    TRY(config_json_heads(s->config_path, s->config, out));
    if (*out > 0 && C % *out == 0) return OK;
    if (*out > 0) {
        return ERROR(STATUS_DATA,
                     "%s: n_head is %lld, which does not divide the weights' %lld channels",
                     s->config_path, (long long)*out, (long long)C);
    }
    if (s->config != NULL) {
        return ERROR(STATUS_DATA, "%s: has no n_head; add it, or set --heads", s->config_path);
    }
    char note[512];
    *out = C >= 64 ? C / 64 : 1;
    snprintf(note, sizeof note,
             "%.300s is not there: %lld heads are a guess, 64 channels each; --heads sets them",
             s->config_path, (long long)*out);
    status_warn("convert", note);
    return OK;
}

/* Buffers that some versions saved along. */
static bool is_buffer(const char *name) {
    size_t length = strlen(name);
    return (length > 10 && strcmp(name + length - 10, ".attn.bias") == 0) ||
           (length > 17 && strcmp(name + length - 17, ".attn.masked_bias") == 0);
}

/* Everything in the file is the model's, or known to be nothing of it. */
static Status names_check(const Source *s, const Model *m) {
    size_t n, prefix = strlen(s->prefix);
    const SafetensorsEntry *const *entries = weights_entries(s->weights, &n);
    for (size_t i = 0; i < n; i++) {
        const char *name = entries[i]->name;
        bool is_inside =
            strncmp(name, s->prefix, prefix) == 0 && model_find(m, name + prefix) != NULL;
        if (is_inside || is_buffer(name) || strcmp(name, "lm_head.weight") == 0) continue;
        return ERROR(STATUS_DATA, "%s: tensor '%.100s' is not one of GPT-2", s->path, name);
    }
    return OK;
}

static Status shape_check(const Source *s, const SafetensorsEntry *e, const ModelTensor *t) {
    int64_t rows = t->is_linear ? t->shape[1] : t->shape[0],
            columns = t->is_linear ? t->shape[0] : t->shape[1];
    bool same =
        e->n_dims == t->n_dims && e->shape[0] == rows && (t->n_dims == 1 || e->shape[1] == columns);
    if (same) return OK;
    return ERROR(STATUS_DATA,
                 "%s: tensor '%s' has %d dimensions, the first %lld; expected was (%lld%s%.0lld)",
                 s->path, e->name, e->n_dims, e->n_dims > 0 ? (long long)e->shape[0] : 0LL,
                 (long long)rows, t->n_dims == 2 ? ", " : "",
                 t->n_dims == 2 ? (long long)columns : 0LL);
}

/* All is there and fits, before memory is taken for it. */
static Status shapes_check(const Source *s, const Model *m) {
    TRY(names_check(s, m));
    for (int i = 0; i < m->count; i++) {
        const SafetensorsEntry *entry = entry_of(s, m->tensors[i].name);
        if (entry == NULL) {
            return ERROR(STATUS_DATA, "%s: has no tensor '%s%s'", s->path, s->prefix,
                         m->tensors[i].name);
        }
        TRY(shape_check(s, entry, &m->tensors[i]));
    }
    return OK;
}

/* The output layer is wte: another one would be lost. */
static Status head_check(const Source *s, const ModelTensor *wte, float *scratch) {
    const SafetensorsEntry *head = weights_find(s->weights, "lm_head.weight");
    if (head == NULL && config_json_is_tied(s->config)) return OK;
    if (head == NULL) {
        return ERROR(STATUS_DATA,
                     "%s: tie_word_embeddings is false, but the weights have no lm_head.weight",
                     s->config_path);
    }
    TRY(shape_check(s, head, wte));
    TRY(weights_read(s->weights, head, scratch));
    size_t bytes = (size_t)tensor_elements(wte) * sizeof *scratch;
    if (memcmp(scratch, wte->data, bytes) == 0) return OK;
    return ERROR(STATUS_DATA, "%s: lm_head.weight differs from wte.weight, but here they are one",
                 s->path);
}

static int64_t most_elements(const Model *m) {
    int64_t most = 0;
    for (int i = 0; i < m->count; i++)
        most = tensor_elements(&m->tensors[i]) > most ? tensor_elements(&m->tensors[i]) : most;
    return most;
}

static Status data_read(const Source *s, Model *m, float *scratch) {
    for (int i = 0; i < m->count; i++) {
        ModelTensor *t = &m->tensors[i];
        TRY(weights_read(s->weights, entry_of(s, t->name), t->is_linear ? scratch : t->data));
        if (t->is_linear) values_transpose(scratch, t->shape[1], t->shape[0], t->data);
    }
    return head_check(s, model_find(m, "wte.weight"), scratch);
}

static Status tensors_read(const Source *s, Model *m) {
    TRY(shapes_check(s, m));
    TRY(model_allocate(m, s->path));
    float *scratch = malloc((size_t)most_elements(m) * sizeof *scratch);
    if (scratch == NULL) return ERROR(STATUS_NO_ROOM, "%s: out of memory", s->path);
    Status status = data_read(s, m, scratch);
    free(scratch);
    return status;
}

/* The sizes by the weights. */
static Status size_find(Source *s, int64_t heads, ModelSize *out) {
    int64_t C;
    *out = (ModelSize){.NH = heads};
    s->prefix = weights_find(s->weights, PREFIX "wte.weight") != NULL ? PREFIX : "";
    TRY(matrix_shape(s, "wte.weight", &out->V, &out->C));
    TRY(matrix_shape(s, "wpe.weight", &out->T, &C));
    out->L = blocks_count(s);
    return heads_find(s, out->C, &out->NH);
}

static Status model_read(Source *s, int64_t heads, Model **out) {
    char names[200], note[512];
    ModelSize size;
    TRY(config_json_read(s->config_path, &s->config));
    if (config_json_unknown(s->config, names, sizeof names)) {
        snprintf(note, sizeof note, "%.200s: passed over, for GPT-2 has no such field: %s",
                 s->config_path, names);
        status_warn("convert", note);
    }
    TRY(weights_open(s->path, &s->weights));
    TRY(size_find(s, heads, &size));
    TRY(model_create(s->path, size, out));
    if (s->config != NULL) TRY(config_json_check(s->config_path, s->config, size));
    return tensors_read(s, *out);
}

Status hugging_face_read(const char *path, int64_t heads, Model **out) {
    char *beside = config_path(path);
    Source source = {.path = path, .config_path = beside};
    *out = NULL;
    Status status = beside == NULL ? ERROR(STATUS_NO_ROOM, "%s: out of memory", path)
                                   : model_read(&source, heads, out);
    if (failed(status)) model_destroy(out);
    weights_close(&source.weights);
    json_decref(source.config);
    free(beside);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

static Status entries_of(const Model *m, DType dtype, Arena *arena, SafetensorsEntry **out) {
    *out = arena_alloc(arena, (size_t)m->count * sizeof **out);
    for (int i = 0; *out != NULL && i < m->count; i++) {
        const ModelTensor *t = &m->tensors[i];
        (*out)[i] = (SafetensorsEntry){
            .name = arena_printf(arena, PREFIX "%s", t->name),
            .dtype = dtype,
            .n_dims = t->n_dims,
            .shape = {t->shape[t->is_linear ? 1 : 0], t->shape[t->is_linear ? 0 : 1]},
            .bytes = (size_t)tensor_elements(t) * dtype_size(dtype)};
        if ((*out)[i].name == NULL) *out = NULL;
    }
    return *out == NULL ? ERROR(STATUS_NO_ROOM, "out of memory for a list of tensors") : OK;
}

static Status data_write(const Model *m, Output *output, DType dtype) {
    float *scratch = malloc((size_t)most_elements(m) * sizeof *scratch);
    Status status = scratch == NULL ? ERROR(STATUS_NO_ROOM, "%s: out of memory", output->path) : OK;
    for (int i = 0; i < m->count && !failed(status); i++) {
        const ModelTensor *t = &m->tensors[i];
        if (t->is_linear) values_transpose(t->data, t->shape[0], t->shape[1], scratch);
        status = output_values(output, t->is_linear ? scratch : t->data, tensor_elements(t), dtype);
    }
    free(scratch);
    return status;
}

static json_t *config_json(const Model *m, DType dtype) {
    ModelSize s = m->size;
    json_int_t end_of_text = s.V - 1; /* the last one, in our vocabularies as in GPT-2's */
    return json_pack(
        "{s:s, s:[s], s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s}", "model_type",
        "gpt2", "architectures", "GPT2LMHeadModel", "activation_function", "gelu_new",
        "layer_norm_epsilon", 1e-5, "vocab_size", (json_int_t)s.V, "n_positions", (json_int_t)s.T,
        "n_ctx", (json_int_t)s.T, "n_embd", (json_int_t)s.C, "n_layer", (json_int_t)s.L, "n_head",
        (json_int_t)s.NH, "bos_token_id", end_of_text, "eos_token_id", end_of_text,
        "tie_word_embeddings", 1, "torch_dtype", dtype == DTYPE_F32 ? "float32" : "bfloat16");
}

static Status config_write(const Model *m, const char *path, DType dtype) {
    Output output;
    TRY(output_open_new(path, &output));
    json_t *config = config_json(m, dtype);
    bool is_written = json_dumpf(config, output.file, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 &&
                      fputc('\n', output.file) != EOF;
    Status status = is_written ? OK : file_cannot_write(path, errno);
    json_decref(config);
    return output_finish(&output, status);
}

/* What from_pretrained would make of the weights beside a config.json that is there: this model, or
 * nothing is written. */
static Status config_check(const Model *m, const char *path, bool *is_there) {
    json_t *there;
    Status status = config_json_read(path, &there);
    *is_there = there != NULL;
    if (*is_there) status = config_json_check_whole(path, there);
    if (*is_there && !failed(status)) status = config_json_check(path, there, m->size);
    json_decref(there);
    if (status.code != STATUS_DATA) return status;
    return status_prefixed(
        status, "%s: is there already, and of another model, so write to a directory of its own",
        path);
}

static Status weights_write(const Model *m, const char *path, DType dtype) {
    Arena arena = {0};
    SafetensorsEntry *entries;
    Output output;
    TRY(output_open_new(path, &output));
    Status status = entries_of(m, dtype, &arena, &entries);
    if (!failed(status))
        status = safetensors_write_header(output.file, path, entries, (size_t)m->count);
    if (!failed(status)) status = data_write(m, &output, dtype);
    status = output_finish(&output, status);
    arena_free(&arena);
    return status;
}

/* The config first: alone it does no harm, while weights alone would have their heads guessed. */
static Status both_write(const Model *m, const char *path, const char *config, DType dtype) {
    bool is_there;
    TRY(output_check_new(path));
    TRY(config_check(m, config, &is_there));
    if (!is_there) TRY(config_write(m, config, dtype));
    Status status = weights_write(m, path, dtype);
    if (failed(status) && !is_there) file_remove(config);
    return status;
}

Status hugging_face_write(const Model *model, const char *path, DType dtype) {
    char *config = config_path(path);
    Status status = config == NULL ? ERROR(STATUS_NO_ROOM, "%s: out of memory", path)
                                   : both_write(model, path, config, dtype);
    free(config);
    return status;
}
