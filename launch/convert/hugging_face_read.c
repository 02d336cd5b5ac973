#include "launch/convert/config_json.h"
#include "launch/convert/formats.h"
#include "launch/convert/part.h"
#include "launch/convert/tokenizer_files.h"
#include "launch/convert/weights.h"

#include <stdlib.h>
#include <string.h>

/* The file being read. */
typedef struct HuggingFaceFile {
    const char *path;
    Weights *weights;
    const Architecture *architecture;
    const char *prefix; /* the family's, or "" */
    const char *config_path;
    json_t *config; /* NULL: there is none */
    const ModelReading *reading;
} HuggingFaceFile;

static const ModelFamily *family_of(const HuggingFaceFile *s) { return s->architecture->family; }

/* ---- sizes ----------------------------------------------------------------------------------- */

static const char *name_of(char out[PART_NAME_CAPACITY], const HuggingFaceFile *s,
                           const ParameterNames *names, int64_t block) {
    const char *name = names->parts[0].name == NULL ? names->name : names->parts[0].name;
    size_t length = (size_t)snprintf(out, PART_NAME_CAPACITY, "%s", s->prefix);
    model_name_expand(name, block, out + length, PART_NAME_CAPACITY - length);
    return out;
}

static const SafetensorsEntry *entry_of(const HuggingFaceFile *s, const ParameterNames *names,
                                        int64_t block) {
    char name[PART_NAME_CAPACITY];
    return weights_find(s->weights, name_of(name, s, names, block));
}

/* Sets the unknown sizes from the shape of a parameter. */
static Status shape_take(const HuggingFaceFile *s, const ParameterNames *names, ModelConfig *out) {
    char name[PART_NAME_CAPACITY];
    const SafetensorsEntry *entry = entry_of(s, names, 0);
    if (entry == NULL) {
        return ERROR(STATUS_DATA, "%s: has no tensor '%s'; is it a %s?%s", s->path,
                     name_of(name, s, names, 0), family_of(s)->title,
                     s->config != NULL ? "" : " Other models need their config.json beside them");
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
    const ParameterNames *names = family_of(s)->parameters;
    int64_t block = 0;
    while (strchr(names->name, '#') == NULL) names++;
    while (entry_of(s, names, block) != NULL) block++;
    return block;
}

/* The shapes of the weights do not depend on the number of heads. */
static Status heads_guess(const HuggingFaceFile *s, ModelConfig *model) {
    char note[512];
    if (model->NH > 0) return OK;
    if (s->reading->heads == HEADS_REQUIRED) {
        return ERROR(STATUS_DATA,
                     "%s: not there, but it says how many heads the model has; copy it there, or "
                     "set --heads of ./convert",
                     s->config_path);
    }
    model->NH = model->C >= 64 ? model->C / 64 : 1;
    snprintf(note, sizeof note,
             "%.300s is not there: %lld heads are a guess, 64 channels each; --heads sets them",
             s->config_path, (long long)model->NH);
    model_warn(s->reading, note);
    return OK;
}

static Status sizes_take(const HuggingFaceFile *s, ModelConfig *model) {
    const ParameterNames *names = family_of(s)->parameters;
    if (!s->architecture->is_sized_by_weights) return OK;
    for (; names->name != NULL; names++) {
        if (names->sizes[1] != 0) TRY(shape_take(s, names, model));
    }
    model->L = blocks_count(s);
    return OK;
}

/* From config.json, which must agree with the weights; without it from the weights alone. */
static Status model_find(const HuggingFaceFile *s, ModelConfig *out) {
    int64_t heads = s->reading->heads;
    *out = (ModelConfig){.NH = heads > 0 ? heads : 0};
    TRY(sizes_take(s, out));
    if (s->config != NULL)
        return config_json_model(s->config_path, s->config, s->architecture, out);
    TRY(heads_guess(s, out));
    json_t *none = json_object();
    Status status = config_json_model(s->path, none, s->architecture, out);
    json_decref(none);
    return status;
}

/* ---- names and shapes ------------------------------------------------------------------------ */

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
        if (is_known || is_ignored(family_of(s), name) || strcmp(name, "lm_head.weight") == 0)
            continue;
        return ERROR(STATUS_DATA, "%s: tensor '%.100s' is not one of %s of this config", s->path,
                     name, family_of(s)->title);
    }
    return OK;
}

static void shape_print(char *out, size_t capacity, const int64_t *shape, int n_dims) {
    size_t used = (size_t)snprintf(out, capacity, "(");
    for (int d = 0; d < n_dims && used < capacity; d++)
        used += (size_t)snprintf(out + used, capacity - used, "%s%lld", d == 0 ? "" : ", ",
                                 (long long)shape[d]);
    if (used < capacity) snprintf(out + used, capacity - used, ")");
}

static Status shape_check(const HuggingFaceFile *s, const SafetensorsEntry *e, const Part *part) {
    char is[160], expected[80];
    bool same = e->n_dims == part->n_dims && e->shape[0] == part->shape[0] &&
                (e->n_dims == 1 || e->shape[1] == part->shape[1]);
    if (same) return OK;
    shape_print(is, sizeof is, e->shape, e->n_dims);
    shape_print(expected, sizeof expected, part->shape, part->n_dims);
    return ERROR(STATUS_DATA, "%s: tensor '%.100s' has shape %s; expected was %s", s->path, e->name,
                 is, expected);
}

static Status missing(const HuggingFaceFile *s, const char *name) {
    if (strcmp(name, "lm_head.weight") != 0)
        return ERROR(STATUS_DATA, "%s: has no tensor '%s'", s->path, name);
    return ERROR(STATUS_DATA, "%s: tie_word_embeddings is false, but %s has no tensor '%s'",
                 s->config_path, s->path, name);
}

static Status tensor_check(const HuggingFaceFile *s, const ModelWeights *m, const ModelTensor *t,
                           Names *known, Arena *arena) {
    Part parts[PARAMETER_PARTS_MAX];
    int n = parts_of(family_of(s), s->prefix, &m->config, t, parts);
    for (int i = 0; i < n; i++) {
        const SafetensorsEntry *entry = weights_find(s->weights, parts[i].name);
        if (entry == NULL) return missing(s, parts[i].name);
        TRY(shape_check(s, entry, &parts[i]));
        if (names_add(known, arena, entry->name) == NULL)
            return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", s->path);
    }
    return OK;
}

/* Checks that all tensors are present and fit, and that there are no others, before memory is
 * allocated. */
static Status tensors_check(const HuggingFaceFile *s, const ModelWeights *m) {
    Names known = {0};
    Arena arena = {0};
    Status status = OK;
    for (int i = 0; i < m->count && !failed(status); i++)
        status = tensor_check(s, m, &m->tensors[i], &known, &arena);
    if (!failed(status)) status = names_check(s, &known);
    arena_free(&arena);
    return status;
}

/* ---- data ------------------------------------------------------------------------------------ */

static int64_t most_elements(const ModelWeights *m) {
    int64_t most = 0;
    for (int i = 0; i < m->count; i++)
        most = tensor_elements(&m->tensors[i]) > most ? tensor_elements(&m->tensors[i]) : most;
    return most;
}

static Status tensor_read(const HuggingFaceFile *s, const ModelWeights *m, const ModelTensor *t,
                          float *scratch) {
    Part parts[PARAMETER_PARTS_MAX];
    int n = parts_of(family_of(s), s->prefix, &m->config, t, parts);
    for (int i = 0; i < n; i++) {
        const Part *part = &parts[i];
        float *data = part_data(part, t);
        TRY(weights_read(s->weights, weights_find(s->weights, part->name),
                         part->is_transposed ? scratch : data));
        if (part->is_transposed) values_transpose(scratch, part->shape[0], part->shape[1], data);
    }
    return OK;
}

/* An output layer of its own would be lost in a model whose output layer is the embedding. */
static Status tied_head_check(const HuggingFaceFile *s, const ModelWeights *m, float *scratch) {
    const ModelTensor *wte = model_weights_find(m, "wte.weight");
    const SafetensorsEntry *head = weights_find(s->weights, "lm_head.weight");
    Part part = {.n_dims = 2, .shape = {wte->shape[0], wte->shape[1]}};
    if (head == NULL || !m->config.tie_embeddings) return OK;
    TRY(shape_check(s, head, &part));
    TRY(weights_read(s->weights, head, scratch));
    size_t bytes = (size_t)tensor_elements(wte) * sizeof *scratch;
    if (memcmp(scratch, wte->data, bytes) == 0) return OK;
    return ERROR(STATUS_DATA,
                 "%s: tensor 'lm_head.weight' differs from the token embedding, but "
                 "tie_word_embeddings is true",
                 s->path);
}

static Status tensors_read(const HuggingFaceFile *s, ModelWeights *m) {
    TRY(tensors_check(s, m));
    TRY(model_weights_allocate(m, s->path));
    float *scratch = malloc((size_t)most_elements(m) * sizeof *scratch);
    Status status =
        scratch == NULL ? ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", s->path) : OK;
    for (int i = 0; i < m->count && !failed(status); i++)
        status = tensor_read(s, m, &m->tensors[i], scratch);
    if (!failed(status)) status = tied_head_check(s, m, scratch);
    free(scratch);
    return status;
}

/* ---- the model ------------------------------------------------------------------------------- */

static void unknown_warn(const HuggingFaceFile *s) {
    char names[200], note[512];
    if (!config_json_unknown(s->config, s->architecture, names, sizeof names)) return;
    snprintf(note, sizeof note, "%.200s: passed over, for %s has no such field: %s", s->config_path,
             family_of(s)->title, names);
    model_warn(s->reading, note);
}

static Status file_read(HuggingFaceFile *s, ModelWeights **out) {
    ModelConfig model;
    TRY(config_json_read(s->config_path, &s->config, &s->architecture));
    if (s->config != NULL) unknown_warn(s);
    TRY(weights_open(s->path, &s->weights));
    s->prefix = "";
    if (entry_of(s, family_of(s)->parameters, 0) == NULL)
        s->prefix = family_of(s)->hugging_face_prefix;
    TRY(model_find(s, &model));
    TRY(model_weights_create(s->path, &model, out));
    TRY(tensors_read(s, *out));
    return tokenizer_files_read(s->path, s->reading, *out);
}

Status hugging_face_read(const char *path, const ModelReading *reading, ModelWeights **out) {
    char *beside = file_beside(path, "config.json");
    HuggingFaceFile source = {.path = path,
                              .config_path = beside,
                              .architecture = architecture_find("gpt2"),
                              .reading = reading};
    *out = NULL;
    Status status = beside == NULL ? ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path)
                                   : file_read(&source, out);
    if (failed(status)) model_weights_destroy(out);
    weights_close(&source.weights);
    json_decref(source.config);
    free(beside);
    return status;
}
