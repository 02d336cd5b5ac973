#include "checkpoints/file_layout.h"

#include "core/base/checked.h"
#include "core/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CheckpointFile {
    hid_t file;
    int64_t step;
    uint64_t bytes; /* of the HDF5 image */
    char *path;
};

/* ---- opening --------------------------------------------------------------------------------- */

/* Whether HDF5 may open an object. Some versions crash on messages that a header shares with other
 * headers (1.10.8, H5SM_get_fheap_addr); the writer shares none. */
static bool is_own(hid_t place, const char *name, H5O_type_t type) {
    H5O_info_t info;
    return H5Oget_info_by_name1(place, name, &info, H5P_DEFAULT) >= 0 && info.type == type &&
           info.hdr.mesg.shared == 0;
}

/* Visits a link; stops (returns 1) unless it is a hard link. */
static herr_t link_refuse(hid_t group, const char *name, const H5L_info_t *info, void *refused) {
    (void)group;
    if (info->type == H5L_TYPE_HARD) return 0;
    snprintf(refused, 128, "%s", name);
    return 1;
}

static Status links_check(const CheckpointFile *file) {
    char refused[128] = "";
    herr_t result = H5Lvisit(file->file, H5_INDEX_NAME, H5_ITER_INC, link_refuse, refused);
    if (result < 0)
        return ERROR(STATUS_DATA, "%s: HDF5 cannot list it: %s", file->path, hdf5_reason());
    if (result == 0) return OK;
    return ERROR(STATUS_DATA, "%s: '%s' is a soft or external link, which checkpoints do not have",
                 file->path, refused);
}

static Status verified_open(const char *path, CheckpointFile *file, bool *is_damaged) {
    hdf5_begin();
    Trailer trailer;
    Status verified = trailer_verify(path, &trailer);
    *is_damaged = verified.code == STATUS_DATA;
    if (failed(verified)) return verified;
    file->step = trailer.step;
    file->bytes = trailer.image_bytes;
    file->path = strdup(path);
    if (file->path == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to open %s", path);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    /* The file is read-only and complete; HDF5's locks fail on some network file systems. */
    H5Pset_file_locking(access, false, true);
    /* HDF5 does not retry open or flock after EINTR, and version 1.14 does not preserve errno. */
    int left = 8;
    do {
        file->file = H5Fopen(path, H5F_ACC_RDONLY, access);
    } while (file->file < 0 && --left > 0);
    H5Pclose(access);
    if (file->file < 0)
        return ERROR(STATUS_DATA, "%s: HDF5 cannot open it: %s", path, hdf5_reason());
    if (!is_own(file->file, "/", H5O_TYPE_GROUP))
        return ERROR(STATUS_DATA, "%s: its root group is not that of a checkpoint", path);
    return links_check(file);
}

/* *is_damaged: the content of the file differs from what was written; false if only this process
 * cannot open it. */
static Status open_or_tell(const char *path, CheckpointFile **out, bool *is_damaged) {
    CheckpointFile *file = calloc(1, sizeof *file);
    if (file == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to open %s", path);
    file->file = -1;
    Status status = verified_open(path, file, is_damaged);
    if (failed(status)) {
        checkpoint_close(&file);
        return status;
    }
    *out = file;
    return OK;
}

Status checkpoint_open(const char *path, CheckpointFile **out) {
    bool is_damaged = false;
    return open_or_tell(path, out, &is_damaged);
}

void checkpoint_close(CheckpointFile **file) {
    if (*file == NULL) return;
    if ((*file)->file >= 0) H5Fclose((*file)->file);
    free((*file)->path);
    free(*file);
    *file = NULL;
}

const char *checkpoint_path(const CheckpointFile *file) { return file->path; }
int64_t checkpoint_step(const CheckpointFile *file) { return file->step; }

/* Opens DIR/step_%08d.h5. A file whose trailer names another step has been renamed and is
 * rejected. */
static Status step_open(const char *dir, int64_t step, Arena *arena, CheckpointFile **out,
                        bool *is_damaged) {
    char name[CHECKPOINT_NAME_BYTES];
    checkpoint_name(step, name);
    const char *path = arena_printf(arena, "%s/%s", dir, name);
    if (path == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to open a checkpoint in %s", dir);
    bool is_there;
    TRY(file_look(path, NULL, &is_there));
    if (!is_there) return ERROR(STATUS_FAILURE, "%s: is a link to a missing file", path);
    TRY(open_or_tell(path, out, is_damaged));
    int64_t says = (*out)->step;
    if (says == step) return OK;
    checkpoint_close(out);
    *is_damaged = true;
    return ERROR(STATUS_DATA, "%s: contains step %lld, which contradicts its name", path,
                 (long long)says);
}

/* Only damaged checkpoints are skipped. One that cannot be read now may be good, and a run that
 * continued from an older one would overwrite it. */
static Status unreadable(Status status) {
    return ERROR(status.code,
                 "%s; fix this, or name an older checkpoint to resume from; a newer checkpoint is "
                 "never skipped for it",
                 status_message());
}

Status checkpoint_open_newest(const char *dir, Arena *arena, CheckpointFile **out,
                              const char **warnings) {
    int64_t *steps, n;
    *out = NULL;
    *warnings = "";
    Status status = steps_list(dir, &steps, &n);
    for (int64_t i = 0; i < n && !failed(status); i++) {
        bool is_damaged = false;
        Status opened = step_open(dir, steps[i], arena, out, &is_damaged);
        if (!failed(opened)) break;
        if (!is_damaged) {
            status = unreadable(opened);
            break;
        }
        const char *more =
            arena_printf(arena, "%s%s%s", *warnings, i > 0 ? "\n" : "", status_message());
        if (more == NULL)
            status = ERROR(STATUS_OUT_OF_MEMORY, "out of memory to list %s", dir);
        else
            *warnings = more;
    }
    free(steps);
    if (failed(status) || *out != NULL || n == 0) return status;
    return ERROR(
        STATUS_DATA,
        "%s: none of its %lld checkpoints is good (%.*s); move them away to start from scratch",
        dir, (long long)n, (int)strcspn(*warnings, "\n"), *warnings);
}

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
    if (!is_own(place, name, H5O_TYPE_DATASET)) return value_missing(file, kind, name);
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
                               is_own(file->file, "text", H5O_TYPE_GROUP)
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

static Status set_info(const CheckpointFile *file, const char *name, hid_t set,
                       CheckpointTensor *out) {
    *out = (CheckpointTensor){.name = name};
    size_t bytes;
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    bool found = dtype_find(type, &out->dtype) && shape_find(space, out, &bytes) &&
                 is_inside(file, set, bytes);
    H5Sclose(space);
    H5Tclose(type);
    return found ? OK
                 : ERROR(STATUS_DATA, "%s: tensor '%s' has an unsupported type or shape",
                         file->path, name);
}

bool checkpoint_has_tensor(const CheckpointFile *file, const char *name) {
    CheckpointTensor ignored;
    return !failed(checkpoint_tensor_info(file, name, &ignored));
}

Status checkpoint_tensor_info(const CheckpointFile *file, const char *name, CheckpointTensor *out) {
    hid_t set;
    TRY(dataset_open(file, file->file, "tensor", name, &set));
    Status status = set_info(file, name, set, out);
    H5Dclose(set);
    return status;
}

typedef struct TensorNames {
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
    if (names->names != NULL && (names->names[names->n] = arena_strdup(names->arena, name)) == NULL)
        return -1;
    names->n++;
    return 0;
}

Status checkpoint_tensor_names(const CheckpointFile *file, Arena *arena, const char ***names,
                               int64_t *n) {
    TensorNames found = {.arena = arena};
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
    TRY(set_info(file, tensor->name, set, &stored));
    if (!is_same(&stored, tensor)) {
        char has[256], wanted[256];
        tensor_describe(&stored, has);
        tensor_describe(tensor, wanted);
        return ERROR(
            STATUS_DATA,
            "%s: tensor '%s' is %s, the model has %s; is this checkpoint of another model?",
            file->path, tensor->name, has, wanted);
    }
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
