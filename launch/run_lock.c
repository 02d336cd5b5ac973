#include "launch/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ATTEMPTS = 16 };

struct RunLock {
    int fd;
    bool is_held, is_new;
};

static const struct flock whole_file = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

/* "process 4711 on host7", as the holder wrote it. */
static void holder_read(int fd, char out[256]) {
    ssize_t n = pread(fd, out, 255, 0);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (out[0] == '\0') snprintf(out, 256, "a process that is just starting");
}

static Status holder_write(int fd, const char *path) {
    char host[128] = "unknown-host", text[256];
    gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "process %d on %s\n", (int)getpid(), host);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        return ERROR(STATUS_FAILURE, "%s: cannot be written: %s", path, strerror(errno));
    }
    return OK;
}

static Status file_open(const char *path, RunLock *lock) {
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
    int attempts = 0;
    do { /* a start that fails at this moment removes its own */
        lock->fd = open(path, flags | O_CREAT | O_EXCL, 0644);
        lock->is_new = lock->fd >= 0;
        if (lock->fd < 0 && errno == EEXIST) lock->fd = open(path, flags);
    } while (lock->fd < 0 && (errno == ENOENT || errno == EINTR) && ++attempts < ATTEMPTS);
    return lock->fd >= 0 ? OK : ERROR(STATUS_FAILURE, "%s: cannot be made: %s", path, strerror(errno));
}

/* Whether the file that was locked is still the one that others find. */
static bool is_current(int fd, const char *path) {
    struct stat mine, theirs;
    return fstat(fd, &mine) == 0 && stat(path, &theirs) == 0 && mine.st_dev == theirs.st_dev &&
           mine.st_ino == theirs.st_ino;
}

static Status lock_file(const char *dir, const char *path, RunLock *lock) {
    TRY(file_open(path, lock));
    while (fcntl(lock->fd, F_OFD_SETLK, &whole_file) == 0) {
        if (is_current(lock->fd, path)) {
            lock->is_held = true;
            return holder_write(lock->fd, path);
        }
        close(lock->fd);
        TRY(file_open(path, lock));
    }
    if (errno != EAGAIN && errno != EACCES) return OK; /* no locks here */
    char holder[256];
    holder_read(lock->fd, holder);
    return ERROR(STATUS_FAILURE,
                 "%s: another run is using this directory: %s; wait for it, end it, or set another output", dir,
                 holder);
}

Status run_lock_take(const char *dir, RunLock **out) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/run.lock", dir) >= (int)sizeof path) {
        return ERROR(STATUS_FAILURE, "%s: the path is too long", dir);
    }
    RunLock *lock = calloc(1, sizeof *lock);
    if (lock == NULL) return ERROR(STATUS_NO_ROOM, "out of memory to lock %s", dir);
    Status status = lock_file(dir, path, lock);
    if (failed(status)) {
        run_lock_release(&lock);
        return status;
    }
    *out = lock;
    return OK;
}

bool run_lock_is_held(const RunLock *lock) { return lock->is_held; }
bool run_lock_is_new(const RunLock *lock) { return lock->is_new; }

void run_lock_release(RunLock **lock) {
    if (*lock == NULL) return;
    if ((*lock)->is_held && ftruncate((*lock)->fd, 0) != 0) (*lock)->is_held = false; /* stale text harms nobody */
    if ((*lock)->fd >= 0) close((*lock)->fd);
    free(*lock);
    *lock = NULL;
}

/* Whether the lock could not be had; asked without taking it, so that a run that starts at this moment gets it. Where
 * there are no locks, what the holder wrote must do. */
static bool is_locked(int fd) {
    struct flock lock = whole_file;
    return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

bool run_lock_is_taken(const char *dir) {
    char path[PATH_MAX], holder[2] = "";
    snprintf(path, sizeof path, "%s/run.lock", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    bool is_taken = pread(fd, holder, 1, 0) == 1 && is_locked(fd);
    close(fd);
    return is_taken;
}
