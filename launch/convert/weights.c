#include "launch/convert/weights.h"

#include "core/base/file.h"
#include "core/base/names.h"
#include "launch/base/text_file.h"
#include "launch/convert/formats.h"

#include <stdlib.h>
#include <string.h>

typedef struct Shard {
    const char *name, *path; /* path in the index; with its directory */
    Safetensors *file;
} Shard;

struct Weights {
    const char *path;
    json_t *index;            /* NULL: a single file */
    const json_t *weight_map; /* in the index */
    Shard *shards;
    size_t n_shards;
    Names names; /* to SafetensorsEntry */
    const SafetensorsEntry **entries;
    size_t n_entries;
    Arena arena;
};

static Status no_room(const char *path) {
    return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path);
}

/* ---- an index -------------------------------------------------------------------------------- */

static Status index_read(Weights *w) {
    TRY(text_file_read_json(w->path, &w->index));
    if (w->index == NULL) return ERROR(STATUS_DATA, "%s: no such file", w->path);
    w->weight_map = json_object_get(w->index, "weight_map");
    if (json_is_object(w->weight_map) && json_object_size(w->weight_map) > 0) return OK;
    return ERROR(STATUS_DATA,
                 "%s: no index of safetensors, for it has no weight_map; name the weights",
                 w->path);
}

/* A file in the directory of the index: the path must not leave it. */
static Status shard_name_check(const Weights *w, const char *tensor, const json_t *value) {
    const char *name = json_string_value(value), *dot = name == NULL ? NULL : strrchr(name, '.');
    if (name == NULL)
        return ERROR(STATUS_DATA, "%s: weight_map: '%.100s' names no file", w->path, tensor);
    if (strchr(name, '/') != NULL) {
        return ERROR(STATUS_DATA,
                     "%s: weight_map: '%.100s' is in '%.200s', but shards lie beside their index",
                     w->path, tensor, name);
    }
    if (dot != NULL && strcmp(dot, ".safetensors") == 0) return OK;
    return ERROR(
        STATUS_DATA,
        "%s: weight_map: '%.200s' is no *.safetensors; have Python's transformers save the model",
        w->path, name);
}

static Status shard_add(Weights *w, const char *name) {
    char folder[4096];
    bool is_there;
    file_directory(w->path, folder, sizeof folder);
    Shard *shard = &w->shards[w->n_shards];
    *shard = (Shard){.name = name, .path = arena_printf(&w->arena, "%s/%s", folder, name)};
    if (shard->path == NULL) return no_room(w->path);
    TRY(file_look(shard->path, NULL, &is_there));
    if (!is_there) {
        return ERROR(STATUS_DATA, "%s: is not there, but %s names it; download it, too",
                     shard->path, w->path);
    }
    w->n_shards++;
    return safetensors_open(shard->path, &shard->file);
}

static Status shards_open(Weights *w) {
    const char *tensor;
    json_t *value;
    Names seen = {0};
    w->shards = arena_alloc(&w->arena, json_object_size(w->weight_map) * sizeof *w->shards);
    if (w->shards == NULL) return no_room(w->path);
    json_object_foreach((json_t *)w->weight_map, tensor, value) {
        TRY(shard_name_check(w, tensor, value));
        void **known = names_add(&seen, &w->arena, json_string_value(value));
        if (known == NULL) return no_room(w->path);
        if (*known == NULL) TRY(shard_add(w, json_string_value(value)));
        *known = w;
    }
    return OK;
}

/* The index must assign a file's tensor to this file. */
static Status owner_check(const Weights *w, const Shard *shard, const char *tensor) {
    if (w->weight_map == NULL) return OK;
    const char *owner = json_string_value(json_object_get(w->weight_map, tensor));
    if (owner == NULL)
        return ERROR(STATUS_DATA, "%s: tensor '%.100s' is not in %s", shard->path, tensor, w->path);
    if (strcmp(owner, shard->name) == 0) return OK;
    return ERROR(STATUS_DATA,
                 "%s: holds tensor '%.100s', which %s has in '%.200s'; download both again",
                 shard->path, tensor, w->path, owner);
}

/* The file must contain each of its names in the index. */
static Status index_check(const Weights *w) {
    const char *tensor;
    json_t *value;
    if (w->weight_map == NULL || json_object_size(w->weight_map) == w->n_entries) return OK;
    json_object_foreach((json_t *)w->weight_map, tensor, value) {
        if (weights_find(w, tensor) != NULL) continue;
        return ERROR(STATUS_DATA, "%s: tensor '%.100s' is not in '%.200s'; download both again",
                     w->path, tensor, json_string_value(value));
    }
    return OK;
}

/* ---- the set --------------------------------------------------------------------------------- */

static Status entries_add(Weights *w, const Shard *shard) {
    size_t n;
    const SafetensorsEntry *entries = safetensors_entries(shard->file, &n);
    for (size_t i = 0; i < n; i++) {
        TRY(owner_check(w, shard, entries[i].name));
        void **place = names_add(&w->names, &w->arena, entries[i].name);
        if (place == NULL) return no_room(w->path);
        *place = (void *)&entries[i];
        w->entries[w->n_entries++] = &entries[i];
    }
    return OK;
}

static Status set_make(Weights *w) {
    size_t total = 0;
    for (size_t i = 0; i < w->n_shards; i++) {
        size_t n;
        safetensors_entries(w->shards[i].file, &n);
        total += n;
    }
    w->entries = arena_alloc(&w->arena, (total + 1) * sizeof *w->entries);
    if (w->entries == NULL) return no_room(w->path);
    for (size_t i = 0; i < w->n_shards; i++) TRY(entries_add(w, &w->shards[i]));
    return index_check(w);
}

/* model-00001-of-00002.safetensors: the tensors of the other files would be missing, perhaps whole
 * blocks. */
static Status shard_alone_check(const char *path) {
    const char *slash = strrchr(path, '/'), *of = strstr(slash == NULL ? path : slash, "-of-");
    if (of == NULL || atoll(of + 4) <= 1) return OK;
    return ERROR(STATUS_DATA,
                 "%s: one shard of several; name model.safetensors.index.json, or the directory",
                 path);
}

static Status single_open(Weights *w) {
    TRY(shard_alone_check(w->path));
    w->shards = arena_alloc(&w->arena, sizeof *w->shards);
    if (w->shards == NULL) return no_room(w->path);
    w->shards[w->n_shards++] = (Shard){.path = w->path};
    return safetensors_open(w->path, &w->shards[0].file);
}

static Status open_all(Weights *w) {
    const char *dot = strrchr(w->path, '.');
    if (dot == NULL || strcmp(dot, ".json") != 0) {
        TRY(single_open(w));
        return set_make(w);
    }
    TRY(index_read(w));
    TRY(shards_open(w));
    return set_make(w);
}

Status weights_open(const char *path, Weights **out) {
    Weights *w = *out = calloc(1, sizeof *w);
    if (w == NULL) return no_room(path);
    w->path = path;
    Status status = open_all(w);
    if (failed(status)) weights_close(out);
    return status;
}

void weights_close(Weights **weights) {
    if (weights == NULL || *weights == NULL) return;
    for (size_t i = 0; i < (*weights)->n_shards; i++)
        safetensors_close(&(*weights)->shards[i].file);
    json_decref((*weights)->index);
    arena_free(&(*weights)->arena);
    free(*weights);
    *weights = NULL;
}

const SafetensorsEntry *weights_find(const Weights *weights, const char *name) {
    void **place = names_find(&weights->names, name, strlen(name));
    return place == NULL ? NULL : *place;
}

const SafetensorsEntry *const *weights_entries(const Weights *weights, size_t *n) {
    *n = weights->n_entries;
    return weights->entries;
}

Status weights_read(const Weights *weights, const SafetensorsEntry *entry, float *out) {
    int64_t n = 1, columns = entry->n_dims > 1 ? entry->shape[entry->n_dims - 1] : 0;
    for (int d = 0; d < entry->n_dims; d++) n *= entry->shape[d];
    TRY(input_values(entry->file, entry->name, entry->at, entry->dtype, n, out));
    return values_check_finite(weights->path, entry->name, out, n, columns);
}
