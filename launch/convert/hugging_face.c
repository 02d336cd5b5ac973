#include "core/base/file.h"
#include "launch/convert/config_json.h"
#include "launch/convert/formats.h"
#include "launch/convert/weights.h"
#include "nn/models/families.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The file being read. */
typedef struct HuggingFaceFile {
    const char *path;
    Weights *weights;
    const ModelFamily *family;
    const char *prefix; /* the family's, or "" */
    const char *config_path;
    json_t *config; /* NULL: there is none */
} HuggingFaceFile;

enum { NAME_CAPACITY = 256 };

/* Hugging Face's name of a parameter. */
static const char *name_in(char out[NAME_CAPACITY], const char *prefix, const ParameterNames *names,
                           int64_t block) {
    const char *name = names->hugging_face == NULL ? names->name : names->hugging_face;
    size_t length = (size_t)snprintf(out, NAME_CAPACITY, "%s", prefix);
    model_name_expand(name, block, out + length, NAME_CAPACITY - length);
    return out;
}

static const SafetensorsEntry *entry_find(const HuggingFaceFile *s, const ParameterNames *names,
                                          int64_t block) {
    char name[NAME_CAPACITY];
    return weights_find(s->weights, name_in(name, s->prefix, names, block));
}

static const SafetensorsEntry *entry_of(const HuggingFaceFile *s, const ModelTensor *t) {
    return entry_find(s, t->names, t->block);
}

static bool is_of_blocks(const ParameterNames *names) { return strchr(names->name, '#') != NULL; }

/* Sets the unknown sizes from the shape of a parameter. */
static Status sizes_read(const HuggingFaceFile *s, const ParameterNames *names, ModelConfig *out) {
    char name[NAME_CAPACITY];
    const SafetensorsEntry *entry = entry_find(s, names, 0);
    if (entry == NULL) {
        return ERROR(STATUS_DATA, "%s: has no tensor '%s'; is it a %s?", s->path,
                     name_in(name, s->prefix, names, 0), s->family->title);
    }
    if (entry->n_dims != 2)
        return ERROR(STATUS_DATA, "%s: tensor '%s' is no matrix", s->path, entry->name);
    for (int d = 0; d < 2; d++) {
        int64_t *size = (int64_t *)((char *)out + names->sizes[d]);
        if (*size == 0) *size = entry->shape[d];
    }
    return OK;
}

static int64_t blocks_count(const HuggingFaceFile *s) {
    const ParameterNames *names = s->family->parameters;
    int64_t block = 0;
    while (!is_of_blocks(names)) names++;
    while (entry_find(s, names, block) != NULL) block++;
    return block;
}

/* config.json in the same directory; for free(). NULL if memory is out. */
static char *config_path(const char *path) {
    const char *slash = strrchr(path, '/');
    char *out = NULL;
    int directory = slash == NULL ? 0 : (int)(slash - path + 1);
    return asprintf(&out, "%.*sconfig.json", directory, path) < 0 ? NULL : out;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The shapes of the weights do not depend on the number of heads. */
static Status heads_find(const HuggingFaceFile *s, int64_t C, int64_t *out) {
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

static bool is_ignored(const ModelFamily *family, const char *name) {
    size_t length = strlen(name);
    for (const char *const *end = family->hugging_face_ignored; *end != NULL; end++) {
        if (length > strlen(*end) && strcmp(name + length - strlen(*end), *end) == 0) return true;
    }
    return false;
}

/* Every tensor in the file must belong to the model or be known to be ignorable. */
static Status names_check(const HuggingFaceFile *s, const Names *known) {
    size_t n;
    const SafetensorsEntry *const *entries = weights_entries(s->weights, &n);
    for (size_t i = 0; i < n; i++) {
        const char *name = entries[i]->name;
        bool is_known = names_find(known, name, strlen(name)) != NULL;
        if (is_known || is_ignored(s->family, name) || strcmp(name, "lm_head.weight") == 0)
            continue;
        return ERROR(STATUS_DATA, "%s: tensor '%.100s' is not one of %s", s->path, name,
                     s->family->title);
    }
    return OK;
}

static Status shape_check(const HuggingFaceFile *s, const SafetensorsEntry *e,
                          const ModelTensor *t) {
    int64_t rows = t->names->is_transposed ? t->shape[1] : t->shape[0],
            columns = t->names->is_transposed ? t->shape[0] : t->shape[1];
    bool same =
        e->n_dims == t->n_dims && e->shape[0] == rows && (t->n_dims == 1 || e->shape[1] == columns);
    if (same) return OK;
    return ERROR(STATUS_DATA,
                 "%s: tensor '%s' has %d dimensions, the first %lld; expected was (%lld%s%.0lld)",
                 s->path, e->name, e->n_dims, e->n_dims > 0 ? (long long)e->shape[0] : 0LL,
                 (long long)rows, t->n_dims == 2 ? ", " : "",
                 t->n_dims == 2 ? (long long)columns : 0LL);
}

static Status names_collect(const HuggingFaceFile *s, const ModelWeights *m, Names *out,
                            Arena *arena) {
    for (int i = 0; i < m->count; i++) {
        char name[NAME_CAPACITY];
        name_in(name, s->prefix, m->tensors[i].names, m->tensors[i].block);
        const char *copy = arena_strdup(arena, name);
        if (copy == NULL || names_add(out, arena, copy) == NULL)
            return ERROR(STATUS_NO_ROOM, "%s: out of memory", s->path);
    }
    return names_check(s, out);
}

/* Checks that all tensors are present and fit, before memory is allocated. */
static Status shapes_check(const HuggingFaceFile *s, const ModelWeights *m) {
    char name[NAME_CAPACITY];
    Names known = {0};
    Arena arena = {0};
    Status status = names_collect(s, m, &known, &arena);
    arena_free(&arena);
    TRY(status);
    for (int i = 0; i < m->count; i++) {
        const ModelTensor *t = &m->tensors[i];
        const SafetensorsEntry *entry = entry_of(s, t);
        if (entry == NULL) {
            return ERROR(STATUS_DATA, "%s: has no tensor '%s'", s->path,
                         name_in(name, s->prefix, t->names, t->block));
        }
        TRY(shape_check(s, entry, t));
    }
    return OK;
}

/* A separate output layer would be lost, so it must equal the embedding. */
static Status head_check(const HuggingFaceFile *s, const ModelTensor *wte, float *scratch) {
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

static int64_t most_elements(const ModelWeights *m) {
    int64_t most = 0;
    for (int i = 0; i < m->count; i++)
        most = tensor_elements(&m->tensors[i]) > most ? tensor_elements(&m->tensors[i]) : most;
    return most;
}

static Status data_read(const HuggingFaceFile *s, ModelWeights *m, float *scratch) {
    for (int i = 0; i < m->count; i++) {
        ModelTensor *t = &m->tensors[i];
        TRY(weights_read(s->weights, entry_of(s, t), t->names->is_transposed ? scratch : t->data));
        if (t->names->is_transposed) values_transpose(scratch, t->shape[1], t->shape[0], t->data);
    }
    return head_check(s, m->head, scratch);
}

static Status tensors_read(const HuggingFaceFile *s, ModelWeights *m) {
    TRY(shapes_check(s, m));
    TRY(model_weights_allocate(m, s->path));
    float *scratch = malloc((size_t)most_elements(m) * sizeof *scratch);
    if (scratch == NULL) return ERROR(STATUS_NO_ROOM, "%s: out of memory", s->path);
    Status status = data_read(s, m, scratch);
    free(scratch);
    return status;
}

/* The sizes from the shapes of the weights. */
static Status sizes_find(HuggingFaceFile *s, int64_t heads, ModelConfig *out) {
    const ParameterNames *names = s->family->parameters;
    *out = (ModelConfig){.NH = heads};
    s->prefix = s->family->hugging_face_prefix;
    if (entry_find(s, &names[0], 0) == NULL) s->prefix = "";
    for (int i = 0; i < s->family->n_parameters; i++) {
        if (names[i].sizes[0] != 0) TRY(sizes_read(s, &names[i], out));
    }
    out->L = blocks_count(s);
    return heads_find(s, out->C, &out->NH);
}

static Status model_read(HuggingFaceFile *s, int64_t heads, ModelWeights **out) {
    char names[200], note[512];
    ModelConfig config;
    TRY(config_json_read(s->config_path, &s->config));
    if (config_json_unknown(s->config, names, sizeof names)) {
        snprintf(note, sizeof note, "%.200s: passed over, for %s has no such field: %s",
                 s->config_path, s->family->title, names);
        status_warn("convert", note);
    }
    TRY(weights_open(s->path, &s->weights));
    TRY(sizes_find(s, heads, &config));
    TRY(model_weights_create(s->path, s->family, &config, out));
    if (s->config != NULL) TRY(config_json_check(s->config_path, s->config, &config));
    return tensors_read(s, *out);
}

Status hugging_face_read(const char *path, int64_t heads, ModelWeights **out) {
    char *beside = config_path(path);
    HuggingFaceFile source = {.path = path, .config_path = beside, .family = model_family("gpt2")};
    *out = NULL;
    Status status = beside == NULL ? ERROR(STATUS_NO_ROOM, "%s: out of memory", path)
                                   : model_read(&source, heads, out);
    if (failed(status)) model_weights_destroy(out);
    weights_close(&source.weights);
    json_decref(source.config);
    free(beside);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

static Status entries_of(const ModelWeights *m, DType dtype, Arena *arena, SafetensorsEntry **out) {
    *out = arena_alloc(arena, (size_t)m->count * sizeof **out);
    for (int i = 0; *out != NULL && i < m->count; i++) {
        const ModelTensor *t = &m->tensors[i];
        char name[NAME_CAPACITY];
        name_in(name, m->family->hugging_face_prefix, t->names, t->block);
        (*out)[i] = (SafetensorsEntry){.name = arena_strdup(arena, name),
                                       .dtype = dtype,
                                       .n_dims = t->n_dims,
                                       .shape = {t->shape[t->names->is_transposed ? 1 : 0],
                                                 t->shape[t->names->is_transposed ? 0 : 1]},
                                       .bytes = (size_t)tensor_elements(t) * dtype_size(dtype)};
        if ((*out)[i].name == NULL) *out = NULL;
    }
    return *out == NULL ? ERROR(STATUS_NO_ROOM, "out of memory for a list of tensors") : OK;
}

static Status data_write(const ModelWeights *m, Output *output, DType dtype) {
    float *scratch = malloc((size_t)most_elements(m) * sizeof *scratch);
    Status status = scratch == NULL ? ERROR(STATUS_NO_ROOM, "%s: out of memory", output->path) : OK;
    for (int i = 0; i < m->count && !failed(status); i++) {
        const ModelTensor *t = &m->tensors[i];
        if (t->names->is_transposed) values_transpose(t->data, t->shape[0], t->shape[1], scratch);
        status = output_values(output, t->names->is_transposed ? scratch : t->data,
                               tensor_elements(t), dtype);
    }
    free(scratch);
    return status;
}

static json_t *config_json(const ModelWeights *m, DType dtype) {
    ModelConfig s = m->config;
    json_int_t end_of_text =
        s.V - 1; /* the last token, in this project's vocabularies as in GPT-2's */
    return json_pack(
        "{s:s, s:[s], s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s}", "model_type",
        "gpt2", "architectures", "GPT2LMHeadModel", "activation_function", "gelu_new",
        "layer_norm_epsilon", 1e-5, "vocab_size", (json_int_t)s.V, "n_positions", (json_int_t)s.T,
        "n_ctx", (json_int_t)s.T, "n_embd", (json_int_t)s.C, "n_layer", (json_int_t)s.L, "n_head",
        (json_int_t)s.NH, "bos_token_id", end_of_text, "eos_token_id", end_of_text,
        "tie_word_embeddings", 1, "torch_dtype", dtype == DTYPE_F32 ? "float32" : "bfloat16");
}

static Status config_write(const ModelWeights *m, const char *path, DType dtype) {
    Output output;
    TRY(output_open_new(path, &output));
    json_t *config = config_json(m, dtype);
    bool is_written = json_dumpf(config, output.file, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 &&
                      fputc('\n', output.file) != EOF;
    Status status = is_written ? OK : file_cannot_write(path, errno);
    json_decref(config);
    return output_finish(&output, status);
}

/* Checks an existing config.json: from_pretrained must build this model from it, otherwise nothing
 * is written. */
static Status config_check(const ModelWeights *m, const char *path, bool *is_there) {
    json_t *there;
    Status status = config_json_read(path, &there);
    *is_there = there != NULL;
    if (*is_there) status = config_json_check_whole(path, there);
    if (*is_there && !failed(status)) status = config_json_check(path, there, &m->config);
    json_decref(there);
    if (status.code != STATUS_DATA) return status;
    return status_prefixed(
        status, "%s: is there already, and of another model, so write to a directory of its own",
        path);
}

static Status weights_write(const ModelWeights *m, const char *path, DType dtype) {
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

/* The config is written first: alone it is harmless, while weights alone would make a reader guess
 * the heads. */
static Status both_write(const ModelWeights *m, const char *path, const char *config, DType dtype) {
    bool is_there;
    TRY(output_check_new(path));
    TRY(config_check(m, config, &is_there));
    if (!is_there) TRY(config_write(m, config, dtype));
    Status status = weights_write(m, path, dtype);
    if (failed(status) && !is_there) file_remove(config);
    return status;
}

Status hugging_face_write(const ModelWeights *model, const char *path, DType dtype) {
    char *config = config_path(path);
    Status status = config == NULL ? ERROR(STATUS_NO_ROOM, "%s: out of memory", path)
                                   : both_write(model, path, config, dtype);
    free(config);
    return status;
}
