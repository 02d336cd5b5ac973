/* The checkpoints in a directory: their names, which of them are kept, the link to the best one.
 * Uses no HDF5. */
#include "checkpoints/file_layout.h"

#include "core/base/file.h"
#include "core/base/replacement.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ----------------------------------------------------------------------------------- */

void step_name(SavedStep saved, char out[CHECKPOINT_NAME_BYTES]) {
    snprintf(out, CHECKPOINT_NAME_BYTES, "step_%08lld%s", (long long)saved.step,
             saved.is_sharded ? "" : ".h5");
}

bool step_parse(const char *name, SavedStep *out) {
    char again[CHECKPOINT_NAME_BYTES];
    if (strncmp(name, "step_", 5) != 0 || name[5] < '0' || name[5] > '9') return false;
    out->step = strtoll(name + 5, NULL, 10);
    out->is_sharded = strchr(name, '.') == NULL;
    step_name(*out, again);
    return strcmp(name, again) == 0;
}

Status step_path(const char *dir, SavedStep saved, char path[PATH_MAX]) {
    char name[CHECKPOINT_NAME_BYTES];
    step_name(saved, name);
    bool fits = snprintf(path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX;
    return fits ? OK : ERROR(STATUS_FAILURE, "%s: the path is too long", dir);
}

void checkpoint_name(int64_t step, char out[CHECKPOINT_NAME_BYTES]) {
    step_name((SavedStep){.step = step}, out);
}

bool checkpoint_name_parse(const char *name, int64_t *step) {
    SavedStep saved;
    bool parsed = step_parse(name, &saved);
    if (parsed) *step = saved.step;
    return parsed;
}

Status checkpoint_of_step(const char *dir, int64_t step, char path[PATH_MAX]) {
    struct stat info;
    TRY(step_path(dir, (SavedStep){step, true}, path));
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return OK;
    return step_path(dir, (SavedStep){step, false}, path);
}

/* ---- the list -------------------------------------------------------------------------------- */

static int newest_first(const void *a, const void *b) {
    const SavedStep *x = a, *y = b;
    if (x->step != y->step) return (x->step < y->step) - (x->step > y->step);
    return x->is_sharded - y->is_sharded;
}

typedef struct Steps {
    SavedStep *items;
    int64_t count, capacity;
    bool is_full; /* out of memory for another entry */
} Steps;

static bool step_add(void *context, const char *name) {
    Steps *steps = context;
    SavedStep saved;
    if (!step_parse(name, &saved)) return true;
    if (steps->count == steps->capacity) {
        steps->capacity = 2 * steps->capacity + 16;
        SavedStep *grown = realloc(steps->items, (size_t)steps->capacity * sizeof *grown);
        steps->is_full = grown == NULL;
        if (steps->is_full) return false;
        steps->items = grown;
    }
    steps->items[steps->count++] = saved;
    return true;
}

Status steps_list(const char *dir, SavedStep **steps, int64_t *n) {
    Steps found = {0};
    Status status = file_list(dir, step_add, &found);
    if (found.is_full) status = ERROR(STATUS_OUT_OF_MEMORY, "out of memory to list %s", dir);
    if (found.count > 0) qsort(found.items, (size_t)found.count, sizeof *found.items, newest_first);
    *steps = found.items;
    *n = found.count;
    return status;
}

/* ---- ownership ------------------------------------------------------------------------------- */

/* Whether `path` is a file that ends with a valid trailer of this step. */
static bool is_file_of(const char *path, int64_t step) {
    Trailer trailer;
    int fd;
    struct stat info;
    if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode)) return false;
    if (failed(file_open_regular(path, &fd)) || fd < 0) return false;
    Status status = trailer_read(fd, path, &trailer);
    file_close(fd);
    return !failed(status) && trailer.step == step;
}

static bool foreign_find(void *found, const char *name) {
    int index;
    *(bool *)found = strcmp(name, MANIFEST_NAME) != 0 && !shard_name_parse(name, &index);
    return !*(bool *)found;
}

/* Whether `path` is a directory with a manifest of this step and nothing that shards.h does not
 * write. */
static bool is_directory_of(const char *path, int64_t step) {
    char manifest[PATH_MAX];
    struct stat info;
    bool has_foreign = false;
    if (lstat(path, &info) != 0 || !S_ISDIR(info.st_mode)) return false;
    if (snprintf(manifest, sizeof manifest, "%s/%s", path, MANIFEST_NAME) >= PATH_MAX) return false;
    return is_file_of(manifest, step) && !failed(file_list(path, foreign_find, &has_foreign)) &&
           !has_foreign;
}

bool step_is_ours(const char *path, SavedStep saved) {
    return saved.is_sharded ? is_directory_of(path, saved.step) : is_file_of(path, saved.step);
}

/* ---- pruning --------------------------------------------------------------------------------- */

/* A directory first gets the name of a temporary one, so that none is found without some of its
 * files. */
static void step_remove(const char *dir, const char *path, SavedStep saved) {
    char hidden[PATH_MAX];
    if (!saved.is_sharded) {
        file_remove(path);
    } else if (!failed(shards_temporary(dir, saved.step, 0, "", hidden)) &&
               file_rename(path, hidden) == 0) {
        file_remove_directory(hidden);
    }
}

/* Removes checkpoints up to step newest.step that exceed `keep`, except `newest` itself. A failed
 * removal is tried again next time. */
static Status oldest_remove(const char *dir, SavedStep newest, CheckpointKeep keep) {
    SavedStep *steps;
    int64_t n, kept = 0;
    Status status = steps_list(dir, &steps, &n);
    for (int64_t i = 0; i < n && !failed(status); i++) {
        char path[PATH_MAX];
        bool is_newest = steps[i].step == newest.step;
        status = step_path(dir, steps[i], path);
        if (failed(status) || steps[i].step > newest.step || !step_is_ours(path, steps[i]))
            continue;
        if (is_newest ? steps[i].is_sharded == newest.is_sharded : kept < keep.newest) {
            kept++;
        } else if (is_newest || steps[i].step != keep.best) {
            step_remove(dir, path, steps[i]);
        }
    }
    free(steps);
    return status;
}

/* Whether `path` is a link to a checkpoint beside it, as best_link makes them. */
static bool is_best_link(const char *path) {
    char target[CHECKPOINT_NAME_BYTES + 1];
    SavedStep saved;
    ssize_t bytes = readlink(path, target, sizeof target - 1);
    if (bytes < 0) return false;
    target[bytes] = '\0';
    return step_parse(target, &saved);
}

/* The name of the checkpoint of step `best`; false if there is none. */
static bool best_find(const char *dir, int64_t best, char name[CHECKPOINT_NAME_BYTES]) {
    char path[PATH_MAX];
    if (best < 0) return false;
    for (int is_sharded = 0; is_sharded < 2; is_sharded++) {
        SavedStep saved = {best, is_sharded == 1};
        step_name(saved, name);
        if (!failed(step_path(dir, saved, path)) && step_is_ours(path, saved)) return true;
    }
    return false;
}

/* Points DIR/best.h5 at the checkpoint of step `best`; removes the link if there is none. A failed
 * link, and one at whose name something else exists, is tried again next time. */
static void best_link(const char *dir, int64_t best) {
    char link[PATH_MAX], new[PATH_MAX], name[CHECKPOINT_NAME_BYTES];
    struct stat info;
    if (snprintf(link, sizeof link, "%s/best.h5", dir) >= (int)sizeof link ||
        snprintf(new, sizeof new, "%s/.best.h5.hourglass", dir) >= (int)sizeof new)
        return;
    if (lstat(link, &info) == 0 && !is_best_link(link)) return;
    if (!best_find(dir, best, name)) {
        file_remove(link);
        return;
    }
    if (is_best_link(new)) file_remove(new);
    if (symlink(name, new) == 0 && file_rename(new, link) != 0) file_remove(new);
}

Status steps_prune(const char *dir, SavedStep newest, CheckpointKeep keep) {
    best_link(dir, keep.best);
    return oldest_remove(dir, newest, keep);
}

Status checkpoints_set_aside(const char *dir, int64_t last, int64_t *n) {
    SavedStep *steps;
    int64_t count;
    Status status = steps_list(dir, &steps, &count);
    *n = 0;
    for (int64_t i = 0; i < count && !failed(status) && steps[i].step > last; i++) {
        char path[PATH_MAX];
        status = step_path(dir, steps[i], path);
        if (!failed(status)) status = replacement_set_aside(path, NULL, 0);
        *n += !failed(status);
    }
    free(steps);
    return status;
}
