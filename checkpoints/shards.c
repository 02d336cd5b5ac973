#include "checkpoints/shards.h"

#include "checkpoints/file_layout.h"
#include "core/base/file.h"
#include "core/base/replacement.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- names ----------------------------------------------------------------------------------- */

void shard_name(int index, char out[CHECKPOINT_NAME_BYTES]) {
    snprintf(out, CHECKPOINT_NAME_BYTES, "shard_%05d.h5", index);
}

bool shard_name_parse(const char *name, int *index) {
    char again[CHECKPOINT_NAME_BYTES];
    if (strncmp(name, "shard_", 6) != 0 || name[6] < '0' || name[6] > '9') return false;
    *index = (int)strtol(name + 6, NULL, 10);
    shard_name(*index, again);
    return strcmp(name, again) == 0;
}

Status shards_temporary(const char *dir, int64_t step, uint64_t id, const char *name,
                        char path[PATH_MAX]) {
    bool fits = snprintf(path, PATH_MAX, "%s/.step_%08lld.%016" PRIx64 ".hourglass%s%s", dir,
                         (long long)step, id, name[0] == '\0' ? "" : "/", name) < PATH_MAX;
    return fits ? OK : ERROR(STATUS_FAILURE, "%s: the path is too long", dir);
}

static Status temporary(const ShardedSave *save, const char *name, char path[PATH_MAX]) {
    return shards_temporary(save->dir, save->step, save->id, name, path);
}

/* Whether a name is that of a temporary directory. */
static bool is_temporary(const char *name) {
    long long step;
    uint64_t id;
    char again[CHECKPOINT_NAME_BYTES * 3];
    if (sscanf(name, ".step_%lld.%16" SCNx64, &step, &id) != 2) return false;
    snprintf(again, sizeof again, ".step_%08lld.%016" PRIx64 ".hourglass", step, id);
    return strcmp(name, again) == 0;
}

/* ---- the temporary directory ----------------------------------------------------------------- */

static int directory_open(const char *path) {
    return file_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* Holds the lock until the directory is gone. Without locks no process removes it. */
static bool dead_remove(void *dir, const char *name) {
    char path[PATH_MAX];
    if (!is_temporary(name) ||
        snprintf(path, sizeof path, "%s/%s", (const char *)dir, name) >= (int)sizeof path)
        return true;
    int fd = directory_open(path);
    if (fd >= 0 && file_lock(fd, false) == 0) file_remove_directory(path);
    file_close(fd);
    return true;
}

void dead_saves_remove(const char *dir) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", dir);
    replacement_clean(dir, NULL);
    Status status = file_list(dir, dead_remove, path);
    (void)status; /* tried again next time */
}

static void unlock(ShardedSave *save) {
    if (save->lock > 0) file_close(save->lock);
    save->lock = 0;
}

/* Returns 0 or errno; ENOENT if another process has just removed it as a leftover. */
static int directory_make(ShardedSave *save, const char *path) {
    struct stat info;
    if (mkdir(path, 0777) != 0) return errno;
    save->lock = directory_open(path);
    if (save->lock < 0) return errno;
    file_lock(save->lock, true);
    return fstat(save->lock, &info) != 0 ? errno : info.st_nlink == 0 ? ENOENT : 0;
}

Status shards_begin(ShardedSave *save) {
    char path[PATH_MAX];
    dead_saves_remove(save->dir);
    if (getrandom(&save->id, sizeof save->id, 0) != sizeof save->id)
        return ERROR(STATUS_FAILURE, "no random number: %s", strerror(errno));
    TRY(temporary(save, "", path));
    int error = directory_make(save, path);
    if (error == 0) return OK;
    unlock(save);
    return file_cannot_write(path, error);
}

bool shards_is_visible(const ShardedSave *save) {
    char path[PATH_MAX];
    struct stat info;
    return !failed(temporary(save, "", path)) && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

void shards_give_up(ShardedSave *save) {
    char path[PATH_MAX], hidden[PATH_MAX];
    unlock(save);
    if (failed(temporary(save, "", path))) return;
    /* under another name first: a rank that still writes there would keep the directory */
    bool is_hidden = !failed(shards_temporary(save->dir, save->step, ~save->id, "", hidden)) &&
                     file_rename(path, hidden) == 0;
    file_remove_directory(is_hidden ? hidden : path);
}

/* ---- contents -------------------------------------------------------------------------------- */

static Status out_of_memory(const ShardedSave *save) {
    return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory to save a checkpoint", save->dir);
}

Status shards_contents(const ShardedSave *save, int index, const CheckpointContents *parts,
                       Arena *arena, CheckpointContents *out) {
    CheckpointValue *values = arena_alloc(arena, 2 * sizeof *values);
    if (values == NULL) return out_of_memory(save);
    values[0] = (CheckpointValue){"save", CHECKPOINT_I64, .i64 = (int64_t)save->id};
    values[1] = (CheckpointValue){"shard", CHECKPOINT_I64, .i64 = index};
    *out = *parts;
    out->values = values;
    out->n_values = 2;
    return OK;
}

/* The text `order`; NULL if memory is out. */
static char *order_text(const CheckpointContents *whole, Arena *arena) {
    static const char *const kinds[] = {"integer", "number", "text"};
    size_t bytes = 1, at = 0;
    for (int64_t i = 0; i < whole->n_values; i++) bytes += strlen(whole->values[i].name) + 9;
    for (int64_t i = 0; i < whole->n_tensors; i++) bytes += strlen(whole->tensors[i].name) + 9;
    char *text = arena_alloc(arena, bytes);
    if (text == NULL) return NULL;
    text[0] = '\0';
    for (int64_t i = 0; i < whole->n_values; i++) {
        const CheckpointValue *value = &whole->values[i];
        at += (size_t)snprintf(text + at, bytes - at, "%s %s\n", kinds[value->kind], value->name);
    }
    for (int64_t i = 0; i < whole->n_tensors; i++)
        at += (size_t)snprintf(text + at, bytes - at, "tensor %s\n", whole->tensors[i].name);
    return text;
}

Status shards_manifest(const ShardedSave *save, const CheckpointContents *whole, Arena *arena,
                       CheckpointContents *out) {
    size_t n_values = (size_t)whole->n_values, n_tensors = (size_t)whole->n_tensors;
    CheckpointValue *values = arena_alloc(arena, (n_values + 2) * sizeof *values);
    CheckpointTensor *tensors = arena_alloc(arena, (n_tensors + 1) * sizeof *tensors);
    unsigned char *hashes = arena_alloc(arena, (size_t)save->shards * HASH_BYTES);
    char *order = order_text(whole, arena);
    if (values == NULL || tensors == NULL || hashes == NULL || order == NULL)
        return out_of_memory(save);
    memcpy(values, whole->values, n_values * sizeof *values);
    memcpy(tensors, whole->tensors, n_tensors * sizeof *tensors);
    for (size_t i = 0; i < n_tensors; i++) tensors[i].data = NULL;
    values[n_values] = (CheckpointValue){"save", CHECKPOINT_I64, .i64 = (int64_t)save->id};
    values[n_values + 1] = (CheckpointValue){"order", CHECKPOINT_TEXT, .text = order};
    memset(hashes, 0, (size_t)save->shards * HASH_BYTES); /* shards_commit knows them */
    tensors[n_tensors] =
        (CheckpointTensor){MANIFEST_SHARDS, DTYPE_U8, 2, {save->shards, HASH_BYTES}, hashes};
    *out = (CheckpointContents){.tensors = tensors,
                                .n_tensors = (int64_t)n_tensors + 1,
                                .values = values,
                                .n_values = (int64_t)n_values + 2};
    return OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

Status shards_write(ShardedSave *save, int index, const CheckpointImage *image, CheckpointKeep keep,
                    bool *is_given_up) {
    char name[CHECKPOINT_NAME_BYTES], path[PATH_MAX];
    shard_name(index, name);
    *is_given_up = false;
    TRY(temporary(save, name, path));
    Status status = image_write(image, path, save->step, keep);
    if (!failed(status)) return OK;
    *is_given_up = !shards_is_visible(save);
    shards_give_up(save);
    return *is_given_up ? OK : status;
}

/* Waits until shard `index` is there; copies its hash. */
static Status shard_wait(const ShardedSave *save, int index, unsigned char hash[HASH_BYTES],
                         bool *is_given_up) {
    const struct timespec pause = {.tv_nsec = 5000000};
    char name[CHECKPOINT_NAME_BYTES], path[PATH_MAX];
    Trailer trailer;
    int fd = -1;
    shard_name(index, name);
    TRY(temporary(save, name, path));
    while (!*is_given_up) {
        TRY(file_open_regular(path, &fd));
        if (fd >= 0) break;
        *is_given_up = !shards_is_visible(save);
        nanosleep(&pause, NULL);
    }
    if (*is_given_up) return OK;
    Status status = trailer_read(fd, path, &trailer);
    file_close(fd);
    if (!failed(status)) memcpy(hash, trailer.hash, HASH_BYTES);
    return status;
}

/* Gives the directory its name. The checkpoint that it replaces is there until then. */
static Status name_take(const ShardedSave *save) {
    const SavedStep saved = {save->step, true};
    char from[PATH_MAX], to[PATH_MAX], aside[PATH_MAX] = "";
    TRY(temporary(save, "", from));
    TRY(step_path(save->dir, saved, to));
    if (!step_is_ours(to, saved)) TRY(replacement_set_aside(to, NULL, 0));
    int error = file_rename(from, to);
    if (error == ENOTEMPTY || error == EEXIST) error = file_exchange(from, to);
    if (error == EINVAL || error == ENOSYS) { /* this file system exchanges no names */
        TRY(replacement_set_aside(to, aside, sizeof aside));
        error = file_rename(from, to);
        if (error != 0) (void)file_rename(aside, to);
    }
    if (error != 0) return file_cannot_write(to, error);
    TRY(file_sync_directory(save->dir));
    file_remove_directory(aside[0] == '\0' ? from : aside); /* the old one */
    return OK;
}

static Status commit(const ShardedSave *save, CheckpointImage *manifest, CheckpointKeep keep,
                     bool *is_given_up) {
    char path[PATH_MAX];
    unsigned char *hashes = manifest->bytes + manifest->places[manifest->n_tensors - 1];
    for (int i = 0; i < save->shards && !*is_given_up; i++) {
        TRY(shard_wait(save, i, hashes + (size_t)i * HASH_BYTES, is_given_up));
    }
    if (*is_given_up) return OK;
    TRY(temporary(save, MANIFEST_NAME, path));
    TRY(image_write(manifest, path, save->step, keep));
    TRY(name_take(save));
    return steps_prune(save->dir, (SavedStep){save->step, true}, keep);
}

Status shards_commit(ShardedSave *save, CheckpointImage *manifest, CheckpointKeep keep,
                     bool *is_given_up) {
    *is_given_up = false;
    Status status = commit(save, manifest, keep, is_given_up);
    unlock(save);
    if (failed(status)) shards_give_up(save);
    return status;
}
