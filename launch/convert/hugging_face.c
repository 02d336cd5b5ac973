#include "checkpoints/safetensors.h"
#include "core/checked.h"
#include "launch/convert/formats.h"
#include "launch/text_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "transformer."

/* A file while it is read. */
typedef struct Source {
    const char *path;
    Safetensors *file;
    const char *prefix; /* PREFIX or "" */
} Source;

static const SafetensorsEntry *entry_of(const Source *s, const char *name) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", s->prefix, name);
    return safetensors_find(s->file, full);
}

static Status matrix_shape(const Source *s, const char *name, int64_t *rows, int64_t *columns) {
    const SafetensorsEntry *entry = entry_of(s, name);
    if (entry == NULL) return ERROR(STATUS_DATA, "%s: has no tensor '%s%s'; is it a GPT-2?", s->path, s->prefix, name);
    if (entry->n_dims != 2) return ERROR(STATUS_DATA, "%s: tensor '%s' is no matrix", s->path, entry->name);
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

/* Heads leave no trace in the weights' shapes. */
static Status heads_find(const char *path, int64_t C, int64_t *out) {
    char *beside = config_path(path);
    json_t *config = NULL;
    Status status =
        beside == NULL ? ERROR(STATUS_NO_ROOM, "%s: out of memory", path) : text_file_read_json(beside, &config);
    json_int_t heads = json_integer_value(json_object_get(config, "n_head"));
    json_decref(config);
    free(beside);
    *out = heads > 0 ? heads : C >= 64 ? C / 64 : 1;
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Buffers that some versions saved along. */
static bool is_buffer(const char *name) {
    size_t length = strlen(name);
    return (length > 10 && strcmp(name + length - 10, ".attn.bias") == 0) ||
           (length > 17 && strcmp(name + length - 17, ".attn.masked_bias") == 0);
}

/* Everything in the file is the model's, or known to be nothing of it. */
static Status names_check(const Source *s, const Model *m) {
    size_t n, prefix = strlen(s->prefix);
    const SafetensorsEntry *entries = safetensors_entries(s->file, &n);
    for (size_t i = 0; i < n; i++) {
        const char *name = entries[i].name;
        bool known = is_buffer(name) || strcmp(name, "lm_head.weight") == 0;
        bool inside = strncmp(name, s->prefix, prefix) == 0;
        for (int k = 0; !known && inside && k < m->count; k++) known = strcmp(name + prefix, m->tensors[k].name) == 0;
        if (!known) return ERROR(STATUS_DATA, "%s: tensor '%.100s' is not one of GPT-2", s->path, name);
    }
    return OK;
}

static Status shape_check(const Source *s, const SafetensorsEntry *e, const ModelTensor *t) {
    int64_t rows = t->is_linear ? t->shape[1] : t->shape[0], columns = t->is_linear ? t->shape[0] : t->shape[1];
    bool same = e->n_dims == t->n_dims && e->shape[0] == rows && (t->n_dims == 1 || e->shape[1] == columns);
    if (same) return OK;
    return ERROR(STATUS_DATA, "%s: tensor '%s' has %d dimensions, the first %lld; expected was (%lld%s%.0lld)", s->path,
                 e->name, e->n_dims, e->n_dims > 0 ? (long long)e->shape[0] : 0LL, (long long)rows,
                 t->n_dims == 2 ? ", " : "", t->n_dims == 2 ? (long long)columns : 0LL);
}

static Status tensor_read(const Source *s, ModelTensor *t, float *scratch) {
    const SafetensorsEntry *entry = entry_of(s, t->name);
    if (entry == NULL) return ERROR(STATUS_DATA, "%s: has no tensor '%s%s'", s->path, s->prefix, t->name);
    TRY(shape_check(s, entry, t));
    if (!values_to_f32(entry->data, entry->dtype, tensor_elements(t), t->is_linear ? scratch : t->data)) {
        return ERROR(STATUS_DATA, "%s: tensor '%s' is not of a floating-point type", s->path, entry->name);
    }
    if (t->is_linear) values_transpose(scratch, t->shape[1], t->shape[0], t->data);
    return OK;
}

/* The output layer is wte: another one would be lost. */
static Status head_check(const Source *s) {
    const SafetensorsEntry *head = safetensors_find(s->file, "lm_head.weight"), *wte = entry_of(s, "wte.weight");
    bool same = head == NULL || (head->dtype == wte->dtype && head->bytes == wte->bytes &&
                                 memcmp(head->data, wte->data, wte->bytes) == 0);
    return same ? OK : ERROR(STATUS_DATA, "%s: lm_head.weight differs from wte.weight, but here they are one", s->path);
}

static int64_t most_elements(const Model *m) {
    int64_t most = 0;
    for (int i = 0; i < m->count; i++)
        most = tensor_elements(&m->tensors[i]) > most ? tensor_elements(&m->tensors[i]) : most;
    return most;
}

static Status tensors_read(const Source *s, Model *m) {
    float *scratch = malloc((size_t)most_elements(m) * sizeof *scratch);
    if (scratch == NULL) return ERROR(STATUS_NO_ROOM, "%s: out of memory", s->path);
    Status status = names_check(s, m);
    for (int i = 0; i < m->count && !failed(status); i++) status = tensor_read(s, &m->tensors[i], scratch);
    free(scratch);
    TRY(status);
    return head_check(s);
}

static Status model_read(Source *s, int64_t heads, Model **out) {
    ModelSize size = {.NH = heads};
    int64_t C;
    s->prefix = safetensors_find(s->file, PREFIX "wte.weight") != NULL ? PREFIX : "";
    TRY(matrix_shape(s, "wte.weight", &size.V, &size.C));
    TRY(matrix_shape(s, "wpe.weight", &size.T, &C));
    size.L = blocks_count(s);
    if (heads == 0) TRY(heads_find(s->path, size.C, &size.NH));
    TRY(model_create(s->path, size, out));
    Status status = tensors_read(s, *out);
    if (failed(status)) model_destroy(out);
    return status;
}

Status hugging_face_read(const char *path, int64_t heads, Model **out) {
    Source source = {.path = path};
    TRY(safetensors_open(path, &source.file));
    Status status = model_read(&source, heads, out);
    safetensors_close(&source.file);
    return status;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static Status entries_of(const Model *m, DType dtype, Arena *arena, SafetensorsEntry **out) {
    *out = arena_alloc(arena, (size_t)m->count * sizeof **out);
    for (int i = 0; *out != NULL && i < m->count; i++) {
        const ModelTensor *t = &m->tensors[i];
        (*out)[i] = (SafetensorsEntry){.name = arena_printf(arena, PREFIX "%s", t->name),
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
    return json_pack("{s:s, s:[s], s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s}", "model_type", "gpt2",
                     "architectures", "GPT2LMHeadModel", "activation_function", "gelu_new", "layer_norm_epsilon", 1e-5,
                     "vocab_size", (json_int_t)s.V, "n_positions", (json_int_t)s.T, "n_ctx", (json_int_t)s.T, "n_embd",
                     (json_int_t)s.C, "n_layer", (json_int_t)s.L, "n_head", (json_int_t)s.NH, "bos_token_id",
                     end_of_text, "eos_token_id", end_of_text, "tie_word_embeddings", 1, "torch_dtype",
                     dtype == DTYPE_F32 ? "float32" : "bfloat16");
}

static Status config_write(const Model *m, const char *path, DType dtype) {
    Output output;
    TRY(output_open_new(path, &output));
    json_t *config = config_json(m, dtype);
    bool is_written = json_dumpf(config, output.file, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0;
    is_written = fputc('\n', output.file) != EOF && is_written;
    json_decref(config);
    return output_finish(&output, is_written ? OK : ERROR(STATUS_FAILURE, "%s: cannot write", path));
}

/* What from_pretrained would make of the weights beside a config.json that is there: its sizes must be theirs. */
static Status config_compare(const Model *m, const char *path, const json_t *there) {
    const struct {
        const char *key;
        int64_t wanted;
    } sizes[] = {{"vocab_size", m->size.V},
                 {"n_positions", m->size.T},
                 {"n_embd", m->size.C},
                 {"n_layer", m->size.L},
                 {"n_head", m->size.NH}};
    const char *type = json_string_value(json_object_get(there, "model_type"));
    if (type == NULL || strcmp(type, "gpt2") != 0) {
        return ERROR(STATUS_DATA, "%s: is there already, and of no GPT-2; write to a directory of its own", path);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const json_t *value = json_object_get(there, sizes[i].key);
        if (json_is_integer(value) && json_integer_value(value) == sizes[i].wanted) continue;
        return ERROR(STATUS_DATA,
                     "%s: is there already, and of another model: its %s is not %lld; write to a directory of its own",
                     path, sizes[i].key, (long long)sizes[i].wanted);
    }
    return OK;
}

static Status config_check(const Model *m, const char *path, bool *is_there) {
    struct stat info;
    *is_there = lstat(path, &info) == 0;
    if (!*is_there) return OK;
    json_t *there;
    Status status = text_file_read_json(path, &there);
    if (failed(status) && status.code != STATUS_DATA) return status;
    status = config_compare(m, path, there);
    json_decref(there);
    return status;
}

static Status weights_write(const Model *m, const char *path, DType dtype) {
    Arena arena = {0};
    SafetensorsEntry *entries;
    Output output;
    TRY(output_open_new(path, &output));
    Status status = entries_of(m, dtype, &arena, &entries);
    if (!failed(status)) status = safetensors_write_header(output.file, entries, (size_t)m->count);
    if (!failed(status)) status = data_write(m, &output, dtype);
    status = output_finish(&output, status);
    arena_free(&arena);
    return status;
}

static Status both_write(const Model *m, const char *path, const char *config, DType dtype) {
    bool is_there;
    TRY(path_check_new(path));
    TRY(config_check(m, config, &is_there));
    TRY(weights_write(m, path, dtype));
    Status status = is_there ? OK : config_write(m, config, dtype);
    if (failed(status)) unlink(path);
    return status;
}

Status hugging_face_write(const Model *model, const char *path, DType dtype) {
    char *config = config_path(path);
    Status status =
        config == NULL ? ERROR(STATUS_NO_ROOM, "%s: out of memory", path) : both_write(model, path, config, dtype);
    free(config);
    return status;
}
