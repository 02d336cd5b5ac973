/* Writing: complete or not there. Uses no HDF5. */
#include "checkpoints/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void step_name(int64_t step, char out[STEP_NAME_BYTES]) {
    snprintf(out, STEP_NAME_BYTES, "step_%08lld.h5", (long long)step);
}

bool step_parse(const char *name, int64_t *step) {
    char again[STEP_NAME_BYTES];
    if (strncmp(name, "step_", 5) != 0 || name[5] < '0' || name[5] > '9') return false;
    *step = strtoll(name + 5, NULL, 10);
    step_name(*step, again);
    return strcmp(name, again) == 0;
}

static int newest_first(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

Status steps_list(const char *dir, int64_t **steps, int64_t *n) {
    *steps = NULL;
    *n = 0;
    DIR *open_dir = opendir(dir);
    if (open_dir == NULL && errno == ENOENT) return OK;
    if (open_dir == NULL) return ERROR(STATUS_DATA, "%s: cannot be listed: %s", dir, strerror(errno));
    int64_t capacity = 0;
    Status status = OK;
    for (struct dirent *entry; (entry = readdir(open_dir)) != NULL;) {
        int64_t step;
        if (!step_parse(entry->d_name, &step)) continue;
        if (*n == capacity) {
            capacity = 2 * capacity + 16;
            int64_t *grown = realloc(*steps, (size_t)capacity * sizeof **steps);
            if (grown == NULL) {
                status = ERROR(STATUS_NO_ROOM, "out of memory to list %s", dir);
                break;
            }
            *steps = grown;
        }
        (*steps)[(*n)++] = step;
    }
    closedir(open_dir);
    if (*n > 0) qsort(*steps, (size_t)*n, sizeof **steps, newest_first);
    return status;
}

/* True for a file that we wrote: its name says a step, and a whole trailer of that step ends it. */
static bool is_ours(int dir, const char *name, int64_t step) {
    Trailer trailer;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    Status status = trailer_read(fd, name, &trailer);
    close(fd);
    return !failed(status) && trailer.step == step;
}

/* Removes ours beyond the `keep` newest up to step `newest`, which itself stays. Failures wait for the next time. */
static Status oldest_remove(int dir, const char *path, int64_t newest, int keep) {
    int64_t *steps, n, kept = 0;
    TRY(steps_list(path, &steps, &n));
    for (int64_t i = 0; i < n; i++) {
        char name[STEP_NAME_BYTES];
        step_name(steps[i], name);
        if (steps[i] > newest || !is_ours(dir, name, steps[i])) continue;
        if (steps[i] == newest || kept < keep) {
            kept++;
        } else {
            unlinkat(dir, name, 0);
        }
    }
    free(steps);
    return OK;
}

/* A living writer holds a lock on its temporary. */
static void temporaries_remove(int dir, const char *path) {
    DIR *listing = opendir(path);
    for (struct dirent *entry; listing != NULL && (entry = readdir(listing)) != NULL;) {
        if (strncmp(entry->d_name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) != 0) continue;
        if (strstr(entry->d_name, ".h5.tmp-") == NULL) continue;
        int fd = openat(dir, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0) continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(dir, entry->d_name, 0);
        close(fd);
    }
    if (listing != NULL) closedir(listing);
}

/* write(2) beyond RLIMIT_FSIZE raises SIGXFSZ, which kills; held back on this thread, it leaves EFBIG. */
static ssize_t write_unkilled(int fd, const void *bytes, size_t n) {
    sigset_t only, before;
    sigemptyset(&only);
    sigaddset(&only, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &only, &before);
    ssize_t wrote = write(fd, bytes, n);
    int error = errno;
    if (wrote < 0 && error == EFBIG) sigtimedwait(&only, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return wrote;
}

/* 0 or errno. */
static int write_all(int fd, const unsigned char *bytes, size_t n) {
    const size_t most = (size_t)64 << 20;
    while (n > 0) {
        ssize_t wrote = write_unkilled(fd, bytes, n < most ? n : most);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return errno;
        bytes += wrote;
        n -= (size_t)wrote;
    }
    return fsync(fd) == 0 ? 0 : errno;
}

static Status write_failed(const char *dir, const char *name, size_t bytes, int error) {
    const char *way_out = error == ENOSPC || error == EDQUOT || error == EFBIG
                              ? "; make room: it needs twice the space of one checkpoint; the older ones are kept"
                              : "; the older checkpoints are kept";
    return ERROR(STATUS_FAILURE, "%s/%s: cannot be written (%zu bytes): %s%s", dir, name, bytes, strerror(error),
                 way_out);
}

/* Writes the bytes under a temporary name, then gives them theirs. 0 or errno; no temporary is left. */
static int replace_file(int dir, const char *path, const char *name, const unsigned char *bytes, size_t n) {
    char temporary[PATH_MAX];
    const char *inside = temporary + strlen(path) + 1;
    if (snprintf(temporary, sizeof temporary, "%s/.%s.tmp-XXXXXX", path, name) >= (int)sizeof temporary) {
        return ENAMETOOLONG;
    }
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) return errno;
    flock(fd, LOCK_EX); /* where locks are not supported, the lock of the run directory protects it */
    fchmod(fd, 0644);   /* mkostemp gives 0600 */
    int error = write_all(fd, bytes, n);
    if (error == 0 && renameat(dir, inside, dir, name) != 0) error = errno;
    if (error != 0) unlinkat(dir, inside, 0);
    if (error == 0 && fsync(dir) != 0) error = errno;
    close(fd);
    return error;
}

static void image_seal(CheckpointImage *image, int64_t step) {
    Trailer trailer = {.image_bytes = image->size, .step = step};
    hash_canonical(image->bytes, image->size, trailer.hash);
    trailer_encode(&trailer, image->bytes + image->size);
}

Status checkpoint_write(CheckpointImage *image, const char *dir, int64_t step, int keep) {
    char name[STEP_NAME_BYTES];
    step_name(step, name);
    if (image->size == 0) return ERROR(STATUS_FAILURE, "%s/%s: there is no snapshot to write", dir, name);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return write_failed(dir, name, image->size, errno);
    temporaries_remove(fd, dir);
    image_seal(image, step);
    size_t bytes = image->size + TRAILER_BYTES;
    int error = replace_file(fd, dir, name, image->bytes, bytes);
    Status status = error != 0 ? write_failed(dir, name, bytes, error) : oldest_remove(fd, dir, step, keep);
    close(fd);
    return status;
}
