#include "checkpoints/memory_snapshot.h"

#include "checkpoints/file_layout.h"
#include "core/base/file.h"
#include "core/base/replacement.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char MEMORY[] = "/dev/shm", FOLDERS[] = "/dev/shm/hourglass-";

/* ---- folder and link ------------------------------------------------------------------------- */

static Status link_path(const char *run, char path[PATH_MAX]) {
    bool fits = snprintf(path, PATH_MAX, "%s/memory", run) < PATH_MAX;
    return fits ? OK : ERROR(STATUS_FAILURE, "%s: the path is too long", run);
}

/* "/dev/shm/hourglass-INODE-", what all folders of a run start with. */
static Status folder_beginning(const char *run, char out[MEMORY_FOLDER_BYTES]) {
    struct stat info;
    if (stat(run, &info) != 0)
        return ERROR(STATUS_FAILURE, "%s: cannot inspect it: %s", run, strerror(errno));
    snprintf(out, MEMORY_FOLDER_BYTES, "%s%" PRIxMAX "-", FOLDERS, (uintmax_t)info.st_ino);
    return OK;
}

/* The target of RUN/memory, if this run has made it. */
static bool link_read(const char *run, char folder[MEMORY_FOLDER_BYTES]) {
    char path[PATH_MAX], beginning[MEMORY_FOLDER_BYTES];
    if (failed(link_path(run, path)) || failed(folder_beginning(run, beginning))) return false;
    ssize_t bytes = readlink(path, folder, MEMORY_FOLDER_BYTES - 1);
    if (bytes < 0) return false;
    folder[bytes] = '\0';
    size_t begun = strlen(beginning);
    return strncmp(folder, beginning, begun) == 0 && folder[begun] != '\0' &&
           strspn(folder + begun, "0123456789abcdef") == strlen(folder + begun);
}

/* Whether a run has made this link: this one, or the one that the directory is a copy of. */
static bool is_of_a_run(const char *path) {
    char folder[MEMORY_FOLDER_BYTES];
    ssize_t bytes = readlink(path, folder, sizeof folder);
    return bytes >= (ssize_t)strlen(FOLDERS) && memcmp(folder, FOLDERS, strlen(FOLDERS)) == 0;
}

Status memory_folder_name(const char *run, char folder[MEMORY_FOLDER_BYTES]) {
    char path[PATH_MAX], beginning[MEMORY_FOLDER_BYTES];
    uint64_t random;
    TRY(link_path(run, path));
    TRY(folder_beginning(run, beginning));
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return ERROR(STATUS_FAILURE, "no random number: %s", strerror(errno));
    int bytes = snprintf(folder, MEMORY_FOLDER_BYTES, "%s%016" PRIx64, beginning, random);
    if (bytes >= MEMORY_FOLDER_BYTES) return ERROR(STATUS_FAILURE, "%s: too long", folder);
    if (is_of_a_run(path)) file_remove(path);
    if (symlink(folder, path) == 0) return OK;
    return ERROR(STATUS_FAILURE,
                 "%s: cannot be made: %s; move it away, or set checkpoint.memory_interval: 0", path,
                 strerror(errno));
}

Status memory_folder_create(const char *folder, size_t bytes) {
    struct statvfs space;
    if (statvfs(MEMORY, &space) != 0)
        return ERROR(STATUS_CONFIG, "%s: %s; set checkpoint.memory_interval: 0", MEMORY,
                     strerror(errno));
    size_t left = (size_t)space.f_bavail * space.f_frsize;
    if (left < bytes) {
        return ERROR(STATUS_OUT_OF_MEMORY,
                     "checkpoint.memory_interval: needs %.1f MiB of %s, which has %.1f MiB left; "
                     "enlarge it (mount -o remount,size=..., docker's --shm-size), or set 0",
                     (double)bytes / 0x1p20, MEMORY, (double)left / 0x1p20);
    }
    if (mkdir(folder, 0700) == 0) return OK;
    return ERROR(STATUS_CONFIG, "%s: cannot be made: %s; set checkpoint.memory_interval: 0", folder,
                 strerror(errno));
}

bool memory_folder_find(const char *run, char folder[MEMORY_FOLDER_BYTES]) {
    struct stat info;
    return link_read(run, folder) && lstat(folder, &info) == 0 && S_ISDIR(info.st_mode) &&
           info.st_uid == geteuid();
}

bool memory_is_elsewhere(const char *run) {
    char folder[MEMORY_FOLDER_BYTES];
    return link_read(run, folder) && !memory_folder_find(run, folder);
}

void memory_link_remove(const char *run) {
    char path[PATH_MAX], folder[MEMORY_FOLDER_BYTES];
    if (link_read(run, folder) && !failed(link_path(run, path))) file_remove(path);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* Calls `visit` for each snapshot, the newest first, until it returns false. */
static void snapshots_visit(const char *folder,
                            bool (*visit)(const char *path, int64_t step, void *context),
                            void *context) {
    SavedStep *steps;
    int64_t n;
    char path[PATH_MAX];
    bool goes_on = !failed(steps_list(folder, &steps, &n));
    for (int64_t i = 0; goes_on && i < n; i++) {
        if (steps[i].is_sharded || failed(step_path(folder, steps[i], path))) continue;
        goes_on = visit(path, steps[i].step, context);
    }
    free(steps);
}

static bool remove_one(const char *path, int64_t step, void *context) {
    (void)step, (void)context;
    file_remove(path);
    return true;
}

void memory_folder_remove(const char *folder) {
    snapshots_visit(folder, remove_one, NULL);
    replacement_clean(folder, NULL);
    (void)!rmdir(folder);
}

static bool take_whole(const char *path, int64_t step, void *newest) {
    Trailer trailer;
    bool is_whole = !failed(trailer_verify(path, &trailer)) && trailer.step == step;
    if (is_whole) *(int64_t *)newest = step;
    return !is_whole;
}

int64_t memory_snapshot_newest(const char *folder) {
    int64_t newest = -1;
    snapshots_visit(folder, take_whole, &newest);
    return newest;
}

static bool add_bytes(const char *path, int64_t step, void *bytes) {
    struct stat info;
    (void)step;
    if (stat(path, &info) == 0) *(size_t *)bytes += (size_t)info.st_size;
    return true;
}

size_t memory_snapshot_bytes(const char *folder) {
    size_t bytes = 0;
    snapshots_visit(folder, add_bytes, &bytes);
    return bytes;
}

Status memory_snapshot_to_disk(const char *folder, int64_t step, const char *dir) {
    const SavedStep saved = {.step = step};
    char from[PATH_MAX], to[PATH_MAX];
    TRY(step_path(folder, saved, from));
    TRY(step_path(dir, saved, to));
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return ERROR(STATUS_FAILURE, "%s: %s", dir, strerror(errno));
    return replacement_copy(from, to);
}
