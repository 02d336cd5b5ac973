#include "checkpoints/file_layout.h"

#include "core/base/checked.h"

#include <stdio.h>
#include <string.h>

/* ---- values ---------------------------------------------------------------------------------- */

static Status value_missing(const CheckpointFile *file, const char *kind, const char *name) {
    return ERROR(STATUS_DATA, "%s: has no %s '%s'", file->path, kind, name);
}

/* For types, HDF5 is only asked whether they equal those that the writer uses. Converting from a
 * precision or offset in a hostile file makes HDF5 read and write out of bounds. */
static Status number_read(const CheckpointFile *file, const char *kind, const char *name,
                          DType dtype, void *out) {
    if (H5Aexists(file->file, name) <= 0) return value_missing(file, kind, name);
    hid_t attribute = H5Aopen(file->file, name, H5P_DEFAULT);
    if (attribute < 0) return value_missing(file, kind, name);
    hid_t stored = H5Aget_type(attribute), space = H5Aget_space(attribute);
    bool fits =
        H5Tequal(stored, dtype_file_type(dtype)) > 0 && H5Sget_simple_extent_npoints(space) == 1;
    herr_t read = fits ? H5Aread(attribute, dtype_memory_type(dtype), out) : -1;
    H5Sclose(space);
    H5Tclose(stored);
    H5Aclose(attribute);
    return read >= 0 ? OK : value_missing(file, kind, name);
}

Status checkpoint_read_i64(const CheckpointFile *file, const char *name, int64_t *out) {
    return number_read(file, "integer", name, DTYPE_I64, out);
}

Status checkpoint_read_f64(const CheckpointFile *file, const char *name, double *out) {
    return number_read(file, "number", name, DTYPE_F64, out);
}

/* Whether a dataset is as the writer stores it: contiguous, in this file, without filters. */
static bool is_plain(hid_t set) {
    hid_t plan = H5Dget_create_plist(set);
    bool plain = plan >= 0 && H5Pget_layout(plan) == H5D_CONTIGUOUS &&
                 H5Pget_external_count(plan) == 0 && H5Pget_nfilters(plan) == 0;
    if (plan >= 0) H5Pclose(plan);
    return plain;
}

static Status dataset_open(const CheckpointFile *file, hid_t place, const char *kind,
                           const char *name, hid_t *out) {
    if (strchr(name, '/') != NULL || H5Lexists(place, name, H5P_DEFAULT) <= 0)
        return value_missing(file, kind, name);
    if (!hdf5_is_own(place, name, H5O_TYPE_DATASET)) return value_missing(file, kind, name);
    *out = H5Dopen2(place, name, H5P_DEFAULT);
    if (*out < 0)
        return ERROR(STATUS_DATA, "%s: %s '%s': %s", file->path, kind, name, hdf5_reason());
    if (is_plain(*out)) return OK;
    H5Dclose(*out);
    return ERROR(
        STATUS_DATA,
        "%s: %s '%s' is chunked, filtered, virtual or stored elsewhere; checkpoints are not",
        file->path, kind, name);
}

/* Whether the `bytes` bytes of a dataset are within the file. */
static bool is_inside(const CheckpointFile *file, hid_t set, size_t bytes) {
    size_t end;
    haddr_t at = H5Dget_offset(set);
    if (H5Dget_storage_size(set) != bytes) return false;
    return bytes == 0 ||
           (at != HADDR_UNDEF && checked_add((size_t)at, bytes, &end) && end <= file->bytes);
}

/* Whether a type is that of the writer's texts: fixed-length, UTF-8. */
static bool is_text(hid_t type) {
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0) return false;
    hid_t ours = H5Tcopy(H5T_C_S1);
    bool equal = H5Tset_size(ours, H5Tget_size(type)) >= 0 &&
                 H5Tset_cset(ours, H5T_CSET_UTF8) >= 0 && H5Tequal(type, ours) > 0;
    H5Tclose(ours);
    return equal;
}

static Status text_copy(const CheckpointFile *file, const char *name, hid_t set, Arena *arena,
                        char **out) {
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    bool fits = is_text(type) && H5Sget_simple_extent_npoints(space) == 1 &&
                is_inside(file, set, H5Tget_size(type));
    size_t bytes = fits ? H5Tget_size(type) : 0;
    *out = fits ? arena_alloc(arena, bytes + 1) : NULL;
    herr_t read = *out != NULL ? H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *out) : -1;
    H5Sclose(space);
    H5Tclose(type);
    return read >= 0 ? OK : value_missing(file, "text", name);
}

Status checkpoint_read_text(const CheckpointFile *file, const char *name, Arena *arena,
                            char **out) {
    hid_t set, texts = H5Lexists(file->file, "text", H5P_DEFAULT) > 0 &&
                               hdf5_is_own(file->file, "text", H5O_TYPE_GROUP)
                           ? H5Gopen2(file->file, "text", H5P_DEFAULT)
                           : -1;
    if (texts < 0) return value_missing(file, "text", name);
    Status status = dataset_open(file, texts, "text", name, &set);
    H5Gclose(texts);
    if (failed(status)) return status;
    status = text_copy(file, name, set, arena, out);
    H5Dclose(set);
    return status;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static bool dtype_find(hid_t type, DType *out) {
    for (int d = 0; d < DTYPE_COUNT; d++) {
        hid_t ours = dtype_file_type((DType)d);
        if (ours < 0 || H5Tequal(type, ours) <= 0) continue;
        *out = (DType)d;
        return true;
    }
    return false;
}

static bool shape_find(hid_t space, CheckpointTensor *out, size_t *bytes) {
    hsize_t shape[CHECKPOINT_MAX_DIMS];
    if (H5Sget_simple_extent_type(space) == H5S_NULL) return false;
    int n = H5Sget_simple_extent_ndims(space);
    if (n < 0 || n > CHECKPOINT_MAX_DIMS || H5Sget_simple_extent_dims(space, shape, NULL) < 0)
        return false;
    out->n_dims = n;
    *bytes = dtype_size(out->dtype);
    for (int i = 0; i < n; i++) {
        out->shape[i] = (int64_t)shape[i];
        if (out->shape[i] < 0 || !checked_mul(*bytes, (size_t)shape[i], bytes)) return false;
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
        if (H5Lexists(shard->file, tensor->name, H5P_DEFAULT) <= 0) continue;
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

/* *bytes: of the tensor. Leaves the parts in the shards unchecked. */
static Status set_info(const CheckpointFile *file, const char *name, hid_t set,
                       CheckpointTensor *out, size_t *bytes) {
    *out = (CheckpointTensor){.name = name};
    bool has_shards = file->n_shards > 0;
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    bool found = dtype_find(type, &out->dtype) && shape_find(space, out, bytes) &&
                 (has_shards ? H5Dget_storage_size(set) == 0 : is_inside(file, set, *bytes));
    H5Sclose(space);
    H5Tclose(type);
    if (found) return OK;
    return ERROR(STATUS_DATA, "%s: tensor '%s' has an unsupported type or shape", file->path, name);
}

bool checkpoint_has_tensor(const CheckpointFile *file, const char *name) {
    CheckpointTensor ignored;
    return !failed(checkpoint_tensor_info(file, name, &ignored));
}

Status checkpoint_tensor_info(const CheckpointFile *file, const char *name, CheckpointTensor *out) {
    hid_t set;
    size_t bytes;
    TRY(dataset_open(file, file->file, "tensor", name, &set));
    Status status = set_info(file, name, set, out, &bytes);
    H5Dclose(set);
    if (!failed(status) && file->n_shards > 0) status = parts_read(file, out, bytes, NULL);
    return status;
}

typedef struct TensorNames {
    bool is_manifest;
    Arena *arena;
    const char **names; /* NULL while counting */
    int64_t n;
} TensorNames;

static herr_t name_add(hid_t group, const char *name, const H5L_info_t *info, void *to) {
    (void)info;
    TensorNames *names = to;
    H5O_info_t object;
    if (H5Oget_info_by_name1(group, name, &object, H5P_DEFAULT) < 0) return -1;
    if (object.type != H5O_TYPE_DATASET) return 0;
    if (names->is_manifest && strcmp(name, MANIFEST_SHARDS) == 0) return 0;
    if (names->names != NULL && (names->names[names->n] = arena_strdup(names->arena, name)) == NULL)
        return -1;
    names->n++;
    return 0;
}

Status checkpoint_tensor_names(const CheckpointFile *file, Arena *arena, const char ***names,
                               int64_t *n) {
    TensorNames found = {.is_manifest = file->n_shards > 0, .arena = arena};
    for (int pass = 0; pass < 2; pass++) {
        hsize_t start = 0;
        if (H5Literate(file->file, H5_INDEX_NAME, H5_ITER_INC, &start, name_add, &found) < 0) {
            return ERROR(STATUS_DATA, "%s: HDF5 cannot list its tensors: %s", file->path,
                         hdf5_reason());
        }
        *n = found.n;
        if (pass == 0)
            found.names = arena_alloc(arena, (size_t)(found.n + 1) * sizeof *found.names);
        if (found.names == NULL)
            return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to list %s", file->path);
        found.n = 0;
    }
    *names = found.names;
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

static Status set_read(const CheckpointFile *file, hid_t set, const CheckpointTensor *tensor,
                       void *data) {
    CheckpointTensor stored;
    size_t bytes;
    TRY(set_info(file, tensor->name, set, &stored, &bytes));
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
    if (H5Dread(set, dtype_memory_type(tensor->dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        return ERROR(STATUS_DATA, "%s: tensor '%s': %s", file->path, tensor->name, hdf5_reason());
    }
    return OK;
}

Status checkpoint_read_tensor(const CheckpointFile *file, const CheckpointTensor *tensor,
                              void *data) {
    hid_t set;
    TRY(dataset_open(file, file->file, "tensor", tensor->name, &set));
    Status status = set_read(file, set, tensor, data);
    H5Dclose(set);
    return status;
}
