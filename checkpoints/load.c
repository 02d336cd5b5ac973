#include "checkpoints/file_layout.h"

#include "core/base/checked.h"

#include <stdio.h>
#include <string.h>

/* ---- values ---------------------------------------------------------------------------------- */

static Status value_missing(const CheckpointFile *file, const char *kind, const char *name) {
    return ERROR(STATUS_DATA, "%s: has no %s '%s'", file->path, kind, name);
}

/* Reads an attribute of exactly this type, that of the writer. */
static Status number_read(const CheckpointFile *file, const char *kind, const char *name,
                          Hdf5Kind wanted, Hdf5Value *out) {
    bool is_there;
    TRY(hdf5_attribute_find(&file->hdf5, &file->root, name, out, &is_there));
    bool fits = is_there && out->data != NULL && out->type.kind == wanted && out->type.size == 8 &&
                !out->type.is_big_endian;
    return fits ? OK : value_missing(file, kind, name);
}

Status checkpoint_read_i64(const CheckpointFile *file, const char *name, int64_t *out) {
    Hdf5Value value;
    TRY(number_read(file, "integer", name, HDF5_INTEGER, &value));
    if (!value.type.is_signed) return value_missing(file, "integer", name);
    *out = hdf5_integer(&value);
    return OK;
}

Status checkpoint_read_f64(const CheckpointFile *file, const char *name, double *out) {
    Hdf5Value value;
    TRY(number_read(file, "number", name, HDF5_REAL, &value));
    memcpy(out, value.data, sizeof *out);
    return OK;
}

/* ---- datasets -------------------------------------------------------------------------------- */

static Status object_describe(const CheckpointFile *file, const char *kind, const char *name,
                              uint64_t address, Hdf5Dataset *out) {
    Hdf5Object object;
    TRY(hdf5_object_read(&file->hdf5, address, &object));
    Status status = hdf5_is_dataset(&object) ? hdf5_dataset_describe(&file->hdf5, &object, out)
                                             : value_missing(file, kind, name);
    hdf5_object_free(&object);
    return status;
}

/* A dataset as the writer stores it: contiguous, in this file, without filters. */
static Status dataset_find(const CheckpointFile *file, const Hdf5Links *links, const char *kind,
                           const char *name, Hdf5Dataset *out) {
    const Hdf5Link *link = hdf5_link_find(links, name);
    if (link == NULL) return value_missing(file, kind, name);
    TRY(object_describe(file, kind, name, link->address, out));
    if (out->is_contiguous && !out->is_external && !out->is_filtered) return OK;
    return ERROR(
        STATUS_DATA,
        "%s: %s '%s' is chunked, filtered, virtual or stored elsewhere; checkpoints are not",
        file->path, kind, name);
}

/* Whether the `bytes` bytes of a dataset are within the file. */
static bool is_inside(const CheckpointFile *file, const Hdf5Dataset *set, size_t bytes) {
    size_t end;
    if (set->bytes != bytes) return false;
    return bytes == 0 || (set->at != HDF5_NOWHERE && checked_add((size_t)set->at, bytes, &end) &&
                          end <= file->input.bytes);
}

static bool is_one_text(const CheckpointFile *file, const Hdf5Dataset *set) {
    uint64_t count = set->is_null ? 0 : 1;
    for (int i = 0; i < set->rank && count == 1; i++) count = set->dims[i];
    return count == 1 && set->type.kind == HDF5_STRING && set->type.is_utf8 &&
           !set->type.is_padded && is_inside(file, set, set->type.size);
}

Status checkpoint_read_text(const CheckpointFile *file, const char *name, Arena *arena,
                            char **out) {
    Hdf5Dataset set;
    TRY(dataset_find(file, &file->texts, "text", name, &set));
    if (!is_one_text(file, &set)) return value_missing(file, "text", name);
    *out = arena_alloc(arena, set.type.size + 1);
    if (*out == NULL) return OUT_OF_MEMORY("text '%s' of %s", name, file->path);
    return input_read(&file->input, *out, set.type.size, set.at);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static bool dtype_find(Hdf5Type type, DType *out) {
    static const struct {
        Hdf5Kind kind;
        size_t size;
        bool is_signed;
        DType dtype;
    } known[] = {
        {HDF5_REAL, 4, false, DTYPE_F32},    {HDF5_REAL, 8, false, DTYPE_F64},
        {HDF5_INTEGER, 4, true, DTYPE_I32},  {HDF5_INTEGER, 8, true, DTYPE_I64},
        {HDF5_INTEGER, 2, false, DTYPE_U16}, {HDF5_INTEGER, 1, false, DTYPE_U8},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        bool is_it = known[i].kind == type.kind && known[i].size == type.size &&
                     known[i].is_signed == type.is_signed && !type.is_big_endian;
        if (is_it) *out = known[i].dtype;
        if (is_it) return true;
    }
    return false;
}

static bool shape_find(const Hdf5Dataset *set, CheckpointTensor *out, size_t *bytes) {
    if (set->is_null || set->rank > CHECKPOINT_MAX_DIMS) return false;
    out->n_dims = set->rank;
    *bytes = dtype_size(out->dtype);
    for (int i = 0; i < set->rank; i++) {
        out->shape[i] = (int64_t)set->dims[i];
        if (out->shape[i] < 0 || !checked_mul(*bytes, (size_t)set->dims[i], bytes)) return false;
    }
    return true;
}

/* The parts of a tensor of `bytes` bytes in the shards, in their order: checks them, and copies
 * them to `data` unless that is NULL. */
static Status parts_read(const CheckpointFile *file, const CheckpointTensor *tensor, size_t bytes,
                         char *data) {
    size_t at = 0;
    for (int i = 0; i < file->n_shards; i++) {
        const CheckpointFile *shard = file->shards[i];
        CheckpointTensor part;
        if (hdf5_link_find(&shard->tensors, tensor->name) == NULL) continue;
        TRY(checkpoint_tensor_info(shard, tensor->name, &part));
        size_t each = dtype_size(part.dtype);
        bool fits = part.n_dims == 1 && part.dtype == tensor->dtype &&
                    (size_t)part.shape[0] <= (bytes - at) / each;
        if (!fits)
            return ERROR(STATUS_DATA, "%s: its part of tensor '%s' does not fit the manifest",
                         shard->path, tensor->name);
        if (data != NULL) TRY(checkpoint_read_tensor(shard, &part, data + at));
        at += (size_t)part.shape[0] * each;
    }
    if (at == bytes) return OK;
    return ERROR(STATUS_DATA, "%s: its shards have %zu of the %zu bytes of tensor '%s'", file->path,
                 at, bytes, tensor->name);
}

/* *set and *bytes: of the tensor. Leaves the parts in the shards unchecked. */
static Status tensor_find(const CheckpointFile *file, const char *name, CheckpointTensor *out,
                          Hdf5Dataset *set, size_t *bytes) {
    *out = (CheckpointTensor){.name = name};
    TRY(dataset_find(file, &file->tensors, "tensor", name, set));
    bool is_here = file->n_shards == 0;
    bool found = dtype_find(set->type, &out->dtype) && shape_find(set, out, bytes) &&
                 (is_here ? is_inside(file, set, *bytes) : set->bytes == 0);
    if (found) return OK;
    return ERROR(STATUS_DATA, "%s: tensor '%s' has an unsupported type or shape", file->path, name);
}

bool checkpoint_has_tensor(const CheckpointFile *file, const char *name) {
    CheckpointTensor ignored;
    return !failed(checkpoint_tensor_info(file, name, &ignored));
}

Status checkpoint_tensor_info(const CheckpointFile *file, const char *name, CheckpointTensor *out) {
    Hdf5Dataset set;
    size_t bytes;
    TRY(tensor_find(file, name, out, &set, &bytes));
    return file->n_shards > 0 ? parts_read(file, out, bytes, NULL) : OK;
}

static Status is_tensor(const CheckpointFile *file, const Hdf5Link *link, bool *out) {
    Hdf5Object object;
    *out = false;
    if (file->n_shards > 0 && strcmp(link->name, MANIFEST_SHARDS) == 0) return OK;
    TRY(hdf5_object_read(&file->hdf5, link->address, &object));
    *out = hdf5_is_dataset(&object);
    hdf5_object_free(&object);
    return OK;
}

Status checkpoint_tensor_names(const CheckpointFile *file, Arena *arena, const char ***names,
                               int64_t *n) {
    *n = 0;
    *names = arena_alloc(arena, (file->tensors.count + 1) * sizeof **names);
    if (*names == NULL) return OUT_OF_MEMORY("the tensors of %s", file->path);
    for (size_t i = 0; i < file->tensors.count; i++) {
        const Hdf5Link *link = &file->tensors.items[i];
        bool counts;
        TRY(is_tensor(file, link, &counts));
        if (!counts) continue;
        if (((*names)[*n] = arena_strdup(arena, link->name)) == NULL)
            return OUT_OF_MEMORY("the tensors of %s", file->path);
        (*n)++;
    }
    return OK;
}

/* "f32 (768, 50304)" */
static void tensor_describe(const CheckpointTensor *tensor, char out[256]) {
    int used = snprintf(out, 256, "%s (", dtype_name(tensor->dtype));
    for (int i = 0; i < tensor->n_dims; i++) {
        used += snprintf(out + used, 256 - (size_t)used, "%s%lld", i > 0 ? ", " : "",
                         (long long)tensor->shape[i]);
    }
    snprintf(out + used, 256 - (size_t)used, ")");
}

static bool is_same(const CheckpointTensor *a, const CheckpointTensor *b) {
    if (a->dtype != b->dtype || a->n_dims != b->n_dims) return false;
    return memcmp(a->shape, b->shape, (size_t)a->n_dims * sizeof a->shape[0]) == 0;
}

Status checkpoint_read_tensor(const CheckpointFile *file, const CheckpointTensor *tensor,
                              void *data) {
    CheckpointTensor stored;
    Hdf5Dataset set;
    size_t bytes;
    TRY(tensor_find(file, tensor->name, &stored, &set, &bytes));
    if (!is_same(&stored, tensor)) {
        char has[256], wanted[256];
        tensor_describe(&stored, has);
        tensor_describe(tensor, wanted);
        return ERROR(
            STATUS_DATA,
            "%s: tensor '%s' is %s, the model has %s; is this checkpoint of another model?",
            file->path, tensor->name, has, wanted);
    }
    if (file->n_shards > 0) return parts_read(file, tensor, bytes, data);
    return bytes == 0 ? OK : input_read(&file->input, data, bytes, set.at);
}
