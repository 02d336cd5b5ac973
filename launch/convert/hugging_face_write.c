#include "core/base/file.h"
#include "launch/convert/config_json.h"
#include "launch/convert/formats.h"
#include "launch/convert/model_keys.h"
#include "launch/convert/part.h"
#include "launch/convert/tokenizer_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SHARDS = 99999 };

/* A tensor in a file. */
typedef struct StoredPart {
    Part part;
    const ModelTensor *tensor;
    SafetensorsEntry entry;
    int shard;
} StoredPart;

/* The files being written. */
typedef struct HuggingFaceTarget {
    const char *path;
    const ModelWeights *model;
    const Architecture *architecture;
    DType dtype;
    int64_t shard_bytes;
    StoredPart *parts;
    int count, shards;
    float *scratch;
    CreatedFiles created; /* removed after a failure */
    Arena arena;
} HuggingFaceTarget;

static Status no_room(const HuggingFaceTarget *t) {
    return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", t->path);
}

/* ---- parts and shards ------------------------------------------------------------------------ */

static void tensor_add(HuggingFaceTarget *t, const ModelTensor *tensor) {
    Part parts[PARAMETER_PARTS_MAX];
    const ModelFamily *family = t->architecture->family;
    int n = parts_of(family, family->hugging_face_prefix, &t->model->config, tensor, parts);
    for (int i = 0; i < n; i++) {
        StoredPart *stored = &t->parts[t->count++];
        *stored = (StoredPart){.part = parts[i], .tensor = tensor};
        stored->entry =
            (SafetensorsEntry){.name = stored->part.name,
                               .dtype = t->dtype,
                               .n_dims = parts[i].n_dims,
                               .shape = {parts[i].shape[0], parts[i].shape[1]},
                               .bytes = (size_t)part_elements(&parts[i]) * dtype_size(t->dtype)};
    }
}

static Status parts_list(HuggingFaceTarget *t) {
    size_t most = (size_t)t->model->count * PARAMETER_PARTS_MAX;
    int64_t used = 0;
    t->parts = arena_alloc(&t->arena, most * sizeof *t->parts);
    if (t->parts == NULL) return no_room(t);
    for (int i = 0; i < t->model->count; i++) tensor_add(t, &t->model->tensors[i]);
    for (int i = 0; i < t->count; i++) {
        int64_t bytes = (int64_t)t->parts[i].entry.bytes;
        if (used > 0 && used + bytes > t->shard_bytes) used = 0, t->shards++;
        used += bytes;
        t->parts[i].shard = t->shards;
    }
    t->shards++;
    if (t->shards <= MOST_SHARDS) return OK;
    return ERROR(STATUS_USAGE, "%s: more than %d shards; raise --max-shard-size", t->path,
                 MOST_SHARDS);
}

/* model.safetensors, or model-00001-of-00002.safetensors. */
static const char *shard_path(HuggingFaceTarget *t, int shard) {
    const char *dot = strrchr(t->path, '.');
    if (t->shards == 1) return t->path;
    return arena_printf(&t->arena, "%.*s-%05d-of-%05d%s", (int)(dot - t->path), t->path, shard + 1,
                        t->shards, dot);
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* ---- files ----------------------------------------------------------------------------------- */

static Status part_write(const HuggingFaceTarget *t, const StoredPart *stored, Output *output) {
    const Part *part = &stored->part;
    const float *data = part_data(part, stored->tensor);
    if (part->is_transposed) {
        values_transpose(data, part->shape[1], part->shape[0], t->scratch);
        data = t->scratch;
    }
    return output_values(output, data, part_elements(part), t->dtype);
}

static Status shard_fill(HuggingFaceTarget *t, int shard, Output *output) {
    int first = 0, n = 0;
    while (t->parts[first].shard != shard) first++;
    while (first + n < t->count && t->parts[first + n].shard == shard) n++;
    SafetensorsEntry *entries = arena_alloc(&t->arena, (size_t)n * sizeof *entries);
    if (entries == NULL) return no_room(t);
    for (int i = 0; i < n; i++) entries[i] = t->parts[first + i].entry;
    TRY(safetensors_write_header(output->file, output->path, entries, (size_t)n));
    for (int i = 0; i < n; i++) TRY(part_write(t, &t->parts[first + i], output));
    return OK;
}

static Status shard_write(HuggingFaceTarget *t, int shard) {
    Output output;
    const char *path = shard_path(t, shard);
    if (path == NULL) return no_room(t);
    TRY(output_open_new(path, &output));
    TRY(output_finish(&output, shard_fill(t, shard, &output)));
    return created_add(&t->created, path);
}

static Status index_write(HuggingFaceTarget *t) {
    int64_t total = 0;
    json_t *map = json_object();
    const char *path = arena_printf(&t->arena, "%s.index.json", t->path);
    if (path == NULL) return no_room(t);
    for (int i = 0; i < t->count; i++) {
        const char *shard = shard_path(t, t->parts[i].shard);
        total += (int64_t)t->parts[i].entry.bytes;
        json_object_set_new(map, t->parts[i].entry.name,
                            json_string(shard == NULL ? "" : file_name(shard)));
    }
    return created_json(&t->created, path,
                        json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)total,
                                  "weight_map", map));
}

static Status weights_write(HuggingFaceTarget *t) {
    int64_t most = 0;
    for (int i = 0; i < t->count; i++) {
        int64_t elements = part_elements(&t->parts[i].part);
        most = elements > most ? elements : most;
    }
    t->scratch = malloc((size_t)most * sizeof *t->scratch);
    if (t->scratch == NULL) return no_room(t);
    for (int i = 0; i < t->shards; i++) TRY(shard_write(t, i));
    return t->shards > 1 ? index_write(t) : OK;
}

/* ---- config.json ----------------------------------------------------------------------------- */

/* Checks an existing config.json: from_pretrained must build this model from it, otherwise nothing
 * is written. */
static Status config_check(const HuggingFaceTarget *t, const char *path, bool *is_there) {
    json_t *there;
    const Architecture *architecture;
    ModelConfig model = {0};
    Status status = config_json_read(path, &there, &architecture);
    *is_there = there != NULL;
    if (*is_there) status = config_json_model(path, there, architecture, &model);
    if (*is_there && !failed(status))
        status = model_keys_check(STATUS_DATA, path, &model, &t->model->config);
    json_decref(there);
    if (status.code != STATUS_DATA) return status;
    return status_prefixed(
        status, "%s: is there already, and of another model, so write to a directory of its own",
        path);
}

static const char *torch_name(DType dtype) {
    return dtype == DTYPE_F32 ? "float32" : dtype == DTYPE_F16 ? "float16" : "bfloat16";
}

static json_t *token_or_null(int64_t token) {
    return token < 0 ? json_null() : json_integer(token);
}

/* Written first: alone it is harmless, while weights alone would make a reader guess. */
static Status configs_write(HuggingFaceTarget *t, const char *path) {
    bool is_there;
    TRY(config_check(t, path, &is_there));
    if (is_there) return OK;
    json_t *config = architecture_write(t->architecture, &t->model->config);
    if (config == NULL) return no_room(t);
    int64_t end = tokenizer_files_end_of_text(t->model);
    json_object_set_new(config, "bos_token_id", token_or_null(end));
    json_object_set_new(config, "eos_token_id", token_or_null(end));
    json_object_set_new(config, "torch_dtype", json_string(torch_name(t->dtype)));
    TRY(created_json(&t->created, path, config));
    return OK;
}

static Status generation_write(HuggingFaceTarget *t) {
    char *path = file_beside(t->path, "generation_config.json");
    bool is_there;
    if (path == NULL) return no_room(t);
    int64_t end = tokenizer_files_end_of_text(t->model);
    Status status = file_exists(path, &is_there);
    if (!failed(status) && !is_there) {
        status = created_json(&t->created, path,
                              json_pack("{s:o, s:o}", "bos_token_id", token_or_null(end),
                                        "eos_token_id", token_or_null(end)));
    }
    free(path);
    return status;
}

/* ---- the directory --------------------------------------------------------------------------- */

static Status target_check(HuggingFaceTarget *t) {
    const char *index = arena_printf(&t->arena, "%s.index.json", t->path);
    TRY(output_check_new(t->path));
    if (index == NULL) return no_room(t);
    TRY(output_check_new(index));
    for (int i = 0; i < t->shards && t->shards > 1; i++) {
        const char *path = shard_path(t, i);
        if (path == NULL) return no_room(t);
        TRY(output_check_new(path));
    }
    return tokenizer_files_check(t->model, t->path);
}

static Status files_write(HuggingFaceTarget *t) {
    TRY(parts_list(t));
    TRY(target_check(t));
    char *config = file_beside(t->path, "config.json");
    Status status = config == NULL ? no_room(t) : configs_write(t, config);
    free(config);
    TRY(status);
    TRY(generation_write(t));
    TRY(tokenizer_files_write(t->model, t->path, &t->created));
    return weights_write(t);
}

static Status biases_settle(HuggingFaceTarget *t, ModelWeights **biased) {
    if (!t->architecture->layers.bias || model_has_biases(&t->model->config)) return OK;
    TRY(model_weights_with_biases(t->path, t->model, biased));
    t->model = *biased;
    return OK;
}

Status hugging_face_write(const ModelWeights *model, const char *path, DType dtype,
                          int64_t shard_bytes) {
    ModelWeights *biased = NULL;
    HuggingFaceTarget target = {
        .path = path, .model = model, .dtype = dtype, .shard_bytes = shard_bytes};
    Status status = architecture_of(path, &model->config, &target.architecture);
    if (!failed(status)) status = biases_settle(&target, &biased);
    if (!failed(status)) status = files_write(&target);
    if (failed(status)) created_remove(&target.created);
    created_destroy(&target.created);
    free(target.scratch);
    arena_free(&target.arena);
    model_weights_destroy(&biased);
    return status;
}
