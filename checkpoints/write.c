/* Writes checkpoints so that each is complete or absent. Uses no HDF5. */
#include "checkpoints/file_layout.h"

#include "core/base/file.h"
#include "core/base/replacement.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 8 << 20 };

void checkpoint_name(int64_t step, char out[CHECKPOINT_NAME_BYTES]) {
    snprintf(out, CHECKPOINT_NAME_BYTES, "step_%08lld.h5", (long long)step);
}

bool checkpoint_name_parse(const char *name, int64_t *step) {
    char again[CHECKPOINT_NAME_BYTES];
    if (strncmp(name, "step_", 5) != 0 || name[5] < '0' || name[5] > '9') return false;
    *step = strtoll(name + 5, NULL, 10);
    checkpoint_name(*step, again);
    return strcmp(name, again) == 0;
}

static int newest_first(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

typedef struct Steps {
    int64_t *items, count, capacity;
    bool is_full; /* out of memory for another entry */
} Steps;

static bool step_add(void *context, const char *name) {
    Steps *steps = context;
    int64_t step;
    if (!checkpoint_name_parse(name, &step)) return true;
    if (steps->count == steps->capacity) {
        steps->capacity = 2 * steps->capacity + 16;
        int64_t *grown = realloc(steps->items, (size_t)steps->capacity * sizeof *grown);
        steps->is_full = grown == NULL;
        if (steps->is_full) return false;
        steps->items = grown;
    }
    steps->items[steps->count++] = step;
    return true;
}

Status steps_list(const char *dir, int64_t **steps, int64_t *n) {
    Steps found = {0};
    Status status = file_list(dir, step_add, &found);
    if (found.is_full) status = ERROR(STATUS_OUT_OF_MEMORY, "out of memory to list %s", dir);
    if (found.count > 0) qsort(found.items, (size_t)found.count, sizeof *found.items, newest_first);
    *steps = found.items;
    *n = found.count;
    return status;
}

/* Whether this project wrote the file: its name contains a step, and it ends with a valid trailer
 * of that step. */
static bool is_ours(const char *path, int64_t step) {
    Trailer trailer;
    int fd;
    struct stat info;
    if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode)) return false;
    if (failed(file_open_regular(path, &fd)) || fd < 0) return false;
    Status status = trailer_read(fd, path, &trailer);
    file_close(fd);
    return !failed(status) && trailer.step == step;
}

static Status path_of(const char *dir, int64_t step, char path[PATH_MAX]) {
    char name[CHECKPOINT_NAME_BYTES];
    checkpoint_name(step, name);
    bool fits = snprintf(path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX;
    return fits ? OK : ERROR(STATUS_FAILURE, "%s: the path is too long", dir);
}

/* Removes checkpoints up to step `newest` that exceed `keep`, except `newest` itself. A failed
 * removal is tried again next time. */
static Status oldest_remove(const char *dir, int64_t newest, CheckpointKeep keep) {
    int64_t *steps, n, kept = 0;
    Status status = steps_list(dir, &steps, &n);
    for (int64_t i = 0; i < n && !failed(status); i++) {
        char path[PATH_MAX];
        status = path_of(dir, steps[i], path);
        if (failed(status) || steps[i] > newest || !is_ours(path, steps[i])) continue;
        if (steps[i] == newest || kept < keep.newest) {
            kept++;
        } else if (steps[i] != keep.best) {
            file_remove(path);
        }
    }
    free(steps);
    return status;
}

/* Whether `path` is a link to a checkpoint beside it, as best_link makes them. */
static bool is_best_link(const char *path) {
    char target[CHECKPOINT_NAME_BYTES + 1];
    int64_t step;
    ssize_t bytes = readlink(path, target, sizeof target - 1);
    if (bytes < 0) return false;
    target[bytes] = '\0';
    return checkpoint_name_parse(target, &step);
}

/* Points DIR/best.h5 at the checkpoint of step `best`; removes the link if there is none. A failed
 * link, and one at whose name something else exists, is tried again next time. */
static void best_link(const char *dir, int64_t best) {
    char link[PATH_MAX], new[PATH_MAX], checkpoint[PATH_MAX], name[CHECKPOINT_NAME_BYTES];
    struct stat info;
    if (snprintf(link, sizeof link, "%s/best.h5", dir) >= (int)sizeof link ||
        snprintf(new, sizeof new, "%s/.best.h5.hourglass", dir) >= (int)sizeof new)
        return;
    if (lstat(link, &info) == 0 && !is_best_link(link)) return;
    if (best < 0 || failed(path_of(dir, best, checkpoint)) || !is_ours(checkpoint, best)) {
        file_remove(link);
        return;
    }
    checkpoint_name(best, name);
    if (is_best_link(new)) file_remove(new);
    if (symlink(name, new) == 0 && file_rename(new, link) != 0) file_remove(new);
}

static Status write_failed(const char *path, size_t bytes, CheckpointKeep keep, int error) {
    if (error != ENOSPC && error != EDQUOT && error != EFBIG) {
        return ERROR(STATUS_FAILURE,
                     "%s: cannot be written (%zu bytes): %s; older checkpoints are kept", path,
                     bytes, strerror(error));
    }
    int beside = keep.best >= 0 ? 2 : 1;
    return ERROR(
        STATUS_FAILURE,
        "%s: cannot be written (%zu bytes): %s; free some space: checkpoint.keep + %d = %d "
        "of them must fit; older checkpoints are kept",
        path, bytes, strerror(error), beside, keep.newest + beside);
}

/* All whole blocks go past the page cache, which takes more time than the disk. */
static Status image_write(Replacement *new, const CheckpointImage *image, ImageHash *hash) {
    size_t whole = image->size / FILE_BLOCK * FILE_BLOCK;
    for (size_t at = 0, n; at < whole; at += n) {
        n = whole - at < PIECE_BYTES ? whole - at : PIECE_BYTES;
        hash_add(hash, image->bytes + at, n);
        TRY(replacement_write_direct(new, image->bytes + at, n));
    }
    hash_add(hash, image->bytes + whole, image->size - whole);
    return replacement_write(new, image->bytes + whole, image->size - whole);
}

static Status file_write(Replacement *new, const CheckpointImage *image, int64_t step) {
    Trailer trailer = {.image_bytes = image->size, .step = step};
    unsigned char encoded[TRAILER_BYTES];
    ImageHash *hash = hash_begin();
    if (hash == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to write a checkpoint");
    Status status = image_write(new, image, hash);
    hash_end(hash, trailer.hash);
    if (failed(status)) return status;
    trailer_encode(&trailer, encoded);
    return replacement_write(new, encoded, sizeof encoded);
}

/* A file of this name that is not a checkpoint of this step belongs to someone else or is damaged;
 * it is moved aside. */
static Status file_replace(const char *path, int64_t step, const CheckpointImage *image,
                           CheckpointKeep keep) {
    Replacement *new;
    TRY(replacement_begin(path, &new));
    Status status = file_write(new, image, step);
    if (!failed(status) && !is_ours(path, step)) status = replacement_set_aside(path, NULL, 0);
    if (!failed(status)) status = replacement_commit(new);
    int error = replacement_error(new);
    replacement_destroy(&new);
    if (!failed(status) || error == 0) return status;
    return write_failed(path, image->size + TRAILER_BYTES, keep, error);
}

Status checkpoint_write(const CheckpointImage *image, const char *dir, int64_t step,
                        CheckpointKeep keep) {
    char path[PATH_MAX];
    TRY(path_of(dir, step, path));
    if (image->size == 0) return ERROR(STATUS_FAILURE, "%s: there is no snapshot to write", path);
    replacement_clean(dir, NULL);
    TRY(file_replace(path, step, image, keep));
    best_link(dir, keep.best);
    return oldest_remove(dir, step, keep);
}

Status checkpoints_set_aside(const char *dir, int64_t last, int64_t *n) {
    int64_t *steps, count;
    Status status = steps_list(dir, &steps, &count);
    *n = 0;
    for (int64_t i = 0; i < count && !failed(status) && steps[i] > last; i++) {
        char path[PATH_MAX];
        status = path_of(dir, steps[i], path);
        if (!failed(status)) status = replacement_set_aside(path, NULL, 0);
        *n += !failed(status);
    }
    free(steps);
    return status;
}
