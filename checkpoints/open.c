/* Opens checkpoints: files, and directories of shards. */
#include "checkpoints/file_layout.h"

#include "core/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { ATTEMPTS = 16, OTHER_DESCRIPTORS = 1024 };

/* ---- a file ---------------------------------------------------------------------------------- */

/* The links of a group, all of them hard. */
static Status links_read(CheckpointFile *file, const Hdf5Object *group, Hdf5Links *out) {
    TRY(hdf5_links_read(&file->hdf5, group, &file->arena, out));
    for (size_t i = 0; i < out->count; i++) {
        if (out->items[i].address != HDF5_NOWHERE) continue;
        return ERROR(STATUS_DATA,
                     "%s: '%s' is a soft or external link, which checkpoints do not have",
                     file->path, out->items[i].name);
    }
    return OK;
}

static Status texts_read(CheckpointFile *file) {
    Hdf5Object group;
    const Hdf5Link *link = hdf5_link_find(&file->tensors, "text");
    if (link == NULL) return OK;
    TRY(hdf5_object_read(&file->hdf5, link->address, &group));
    Status status = hdf5_is_group(&group) ? links_read(file, &group, &file->texts) : OK;
    hdf5_object_free(&group);
    return status;
}

static Status contents_list(CheckpointFile *file) {
    TRY(hdf5_open(&file->input, &file->hdf5));
    TRY(hdf5_object_read(&file->hdf5, file->hdf5.root, &file->root));
    TRY(links_read(file, &file->root, &file->tensors));
    return texts_read(file);
}

static Status verified_open(const char *path, CheckpointFile *file, bool *is_damaged) {
    Trailer trailer;
    Status verified = trailer_verify(path, &trailer);
    *is_damaged = verified.code == STATUS_DATA;
    if (failed(verified)) return verified;
    file->step = trailer.step;
    memcpy(file->hash, trailer.hash, sizeof file->hash);
    file->path = strdup(path);
    if (file->path == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to open %s", path);
    TRY(input_open(file->path, &file->input));
    file->input.bytes = trailer.image_bytes;
    return contents_list(file);
}

/* *is_damaged: the content of the file differs from what was written; false if only this process
 * cannot open it. */
static Status file_open_verified(const char *path, CheckpointFile **out, bool *is_damaged) {
    CheckpointFile *file = calloc(1, sizeof *file);
    if (file == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to open %s", path);
    file->input.fd = -1;
    Status status = verified_open(path, file, is_damaged);
    if (failed(status)) {
        checkpoint_close(&file);
        return status;
    }
    *out = file;
    return OK;
}

void checkpoint_close(CheckpointFile **file) {
    if (*file == NULL) return;
    for (int i = 0; i < (*file)->n_shards; i++) checkpoint_close(&(*file)->shards[i]);
    input_close(&(*file)->input);
    hdf5_object_free(&(*file)->root);
    arena_free(&(*file)->arena);
    free((*file)->shards);
    free((*file)->path);
    free(*file);
    *file = NULL;
}

/* ---- a directory of shards ------------------------------------------------------------------- */

static Status path_in(const char *directory, const char *name, char path[PATH_MAX]) {
    bool fits = snprintf(path, PATH_MAX, "%s/%s", directory, name) < PATH_MAX;
    return fits ? OK : ERROR(STATUS_FAILURE, "%s: the path is too long", directory);
}

bool checkpoint_is_sharded(const char *path) {
    char manifest[PATH_MAX], name[CHECKPOINT_NAME_BYTES + 1];
    struct stat info;
    SavedStep saved;
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) return false;
    snprintf(name, sizeof name, "%.*s", (int)(end - start), path + start);
    return step_parse(name, &saved) ||
           (!failed(path_in(path, MANIFEST_NAME, manifest)) && stat(manifest, &info) == 0);
}

static Status manifest_open(const char *path, CheckpointFile **out, bool *is_damaged) {
    char manifest[PATH_MAX];
    bool is_there;
    TRY(path_in(path, MANIFEST_NAME, manifest));
    TRY(file_look(manifest, NULL, &is_there));
    *is_damaged = !is_there;
    if (!is_there)
        return ERROR(STATUS_DATA,
                     "%s: is missing, without which the shards are no checkpoint; restore it, or "
                     "use an older checkpoint",
                     manifest);
    TRY(file_open_verified(manifest, out, is_damaged));
    free((*out)->path);
    (*out)->input.path = (*out)->path = strdup(path);
    return (*out)->path != NULL ? OK
                                : ERROR(STATUS_OUT_OF_MEMORY, "out of memory to open %s", path);
}

/* The hashes of the shards, for free(). */
static Status hashes_read(const CheckpointFile *file, unsigned char **hashes, int *n) {
    CheckpointTensor info;
    TRY(checkpoint_tensor_info(file, MANIFEST_SHARDS, &info));
    bool fits = info.dtype == DTYPE_U8 && info.n_dims == 2 && info.shape[1] == HASH_BYTES &&
                info.shape[0] > 0 && info.shape[0] <= CHECKPOINT_MAX_SHARDS;
    if (!fits)
        return ERROR(STATUS_DATA, "%s: its manifest is not that of a checkpoint", file->path);
    *n = (int)info.shape[0];
    *hashes = malloc((size_t)*n * HASH_BYTES);
    if (*hashes == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to open %s", file->path);
    return checkpoint_read_tensor(file, &info, *hashes);
}

static Status shard_open(const CheckpointFile *file, int index, int n,
                         const unsigned char hash[HASH_BYTES], CheckpointFile **out,
                         bool *is_damaged) {
    char name[CHECKPOINT_NAME_BYTES], path[PATH_MAX];
    bool is_there;
    shard_name(index, name);
    TRY(path_in(file->path, name, path));
    TRY(file_look(path, NULL, &is_there));
    *is_damaged = !is_there;
    if (!is_there)
        return ERROR(STATUS_DATA,
                     "%s: is missing, one of %d shards; restore it, or use an older checkpoint",
                     path, n);
    TRY(file_open_verified(path, out, is_damaged));
    if (memcmp((*out)->hash, hash, HASH_BYTES) == 0) return OK;
    *is_damaged = true;
    return ERROR(STATUS_DATA,
                 "%s: belongs to another save than %s beside it; restore the shard of this save, "
                 "or use an older checkpoint",
                 path, MANIFEST_NAME);
}

/* Each shard keeps a descriptor. If the system allows no more, opening one fails. */
static void descriptors_allow(int shards) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    rlim_t wanted = (rlim_t)shards + OTHER_DESCRIPTORS;
    if (wanted > limit.rlim_max) wanted = limit.rlim_max;
    if (limit.rlim_cur >= wanted) return;
    limit.rlim_cur = wanted;
    (void)!setrlimit(RLIMIT_NOFILE, &limit);
}

static Status shards_open(CheckpointFile *file, bool *is_damaged) {
    unsigned char *hashes = NULL;
    int n = 0;
    Status status = hashes_read(file, &hashes, &n);
    *is_damaged = status.code == STATUS_DATA;
    CheckpointFile **shards = failed(status) ? NULL : calloc((size_t)n, sizeof *shards);
    if (!failed(status) && shards == NULL)
        status = ERROR(STATUS_OUT_OF_MEMORY, "out of memory to open %s", file->path);
    file->shards = shards;
    descriptors_allow(n);
    for (int i = 0; i < n && !failed(status); i++) {
        file->n_shards = i + 1;
        status = shard_open(file, i, n, hashes + (size_t)i * HASH_BYTES, &shards[i], is_damaged);
    }
    free(hashes);
    return status;
}

static Status directory_open(const char *path, CheckpointFile **out, bool *is_damaged) {
    CheckpointFile *file = NULL;
    Status status = manifest_open(path, &file, is_damaged);
    if (!failed(status)) status = shards_open(file, is_damaged);
    if (failed(status))
        checkpoint_close(&file);
    else
        *out = file;
    return status;
}

static Status open_or_tell(const char *path, CheckpointFile **out, bool *is_damaged) {
    return checkpoint_is_sharded(path) ? directory_open(path, out, is_damaged)
                                       : file_open_verified(path, out, is_damaged);
}

Status checkpoint_open(const char *path, CheckpointFile **out) {
    bool is_damaged = false;
    return open_or_tell(path, out, &is_damaged);
}

const char *checkpoint_path(const CheckpointFile *file) { return file->path; }
int64_t checkpoint_step(const CheckpointFile *file) { return file->step; }

/* ---- the newest ------------------------------------------------------------------------------ */

/* A checkpoint whose trailer names another step has been renamed and is rejected. */
static Status step_open(const char *dir, SavedStep saved, CheckpointFile **out, bool *is_damaged) {
    char path[PATH_MAX];
    bool is_there;
    TRY(step_path(dir, saved, path));
    TRY(file_look(path, NULL, &is_there));
    if (!is_there) return ERROR(STATUS_FAILURE, "%s: is a link to a missing file", path);
    TRY(open_or_tell(path, out, is_damaged));
    int64_t says = (*out)->step;
    if (says == saved.step) return OK;
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

/* The run that writes there removes old checkpoints after a list. */
static bool has_gone(const char *dir, SavedStep saved) {
    char path[PATH_MAX];
    struct stat info;
    return !failed(step_path(dir, saved, path)) && lstat(path, &info) != 0 && errno == ENOENT;
}

/* The newest good one of a list. *is_old: one of them has gone. */
static Status listed_open(const char *dir, const SavedStep *steps, int64_t n, Arena *arena,
                          CheckpointFile **out, const char **warnings, bool *is_old) {
    *warnings = "";
    for (int64_t i = 0; i < n; i++) {
        bool is_damaged = false;
        Status opened = step_open(dir, steps[i], out, &is_damaged);
        if (!failed(opened)) return OK;
        *is_old = has_gone(dir, steps[i]);
        if (*is_old) return OK;
        if (!is_damaged) return unreadable(opened);
        *warnings = arena_printf(arena, "%s%s%s", *warnings, i > 0 ? "\n" : "", status_message());
        if (*warnings == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to list %s", dir);
    }
    if (n == 0) return OK;
    return ERROR(
        STATUS_DATA,
        "%s: none of its %lld checkpoints is good (%.*s); move them away to start from scratch",
        dir, (long long)n, (int)strcspn(*warnings, "\n"), *warnings);
}

Status checkpoint_open_newest(const char *dir, Arena *arena, CheckpointFile **out,
                              const char **warnings) {
    *out = NULL;
    for (int attempts = 0; attempts < ATTEMPTS; attempts++) {
        SavedStep *steps;
        int64_t n;
        bool is_old = false;
        Status status = steps_list(dir, &steps, &n);
        if (!failed(status)) status = listed_open(dir, steps, n, arena, out, warnings, &is_old);
        free(steps);
        if (!is_old) return status;
    }
    return ERROR(STATUS_FAILURE,
                 "%s: each checkpoint is removed before it is read; set a longer "
                 "checkpoint.interval or a greater checkpoint.keep",
                 dir);
}
