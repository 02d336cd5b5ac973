#include "launch/run/run_lock.h"

#include "core/base/file.h"

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
    bool is_refused; /* another process holds it */
};

static const struct flock whole_file = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

/* "process 4711 on host7", as the holder wrote it. */
static void holder_read(int fd, const char *path, char out[256]) {
    size_t n;
    Status status = file_read_at(fd, path, out, 255, 0, &n);
    out[failed(status) ? 0 : n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (out[0] == '\0') snprintf(out, 256, "a process that is just starting");
}

static void holder_name(char out[256]) {
    char host[128] = "unknown-host";
    gethostname(host, sizeof host - 1);
    snprintf(out, 256, "process %d on %s", (int)getpid(), host);
}

static Status holder_write(int fd, const char *path) {
    char name[256], text[sizeof name + 1];
    holder_name(name);
    int n = snprintf(text, sizeof text, "%s\n", name);
    int error = file_rewrite(fd, text, (size_t)n);
    return error == 0 ? OK : file_cannot_write(path, error);
}

static Status lock_open(const char *path, RunLock *lock) {
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK;
    int attempts = 0;
    do { /* a start that fails at this moment removes its file */
        lock->fd = file_open(path, flags | O_CREAT | O_EXCL, 0666);
        lock->is_new = lock->fd >= 0;
        if (lock->fd < 0 && errno == EEXIST) lock->fd = file_open(path, flags, 0);
    } while (lock->fd < 0 && errno == ENOENT && ++attempts < ATTEMPTS);
    return lock->fd >= 0 ? OK
                         : ERROR(STATUS_FAILURE, "%s: cannot be made: %s", path, strerror(errno));
}

/* Whether the locked file is still the one at the path. */
static bool is_current(int fd, const char *path) {
    struct stat mine, theirs;
    return fstat(fd, &mine) == 0 && stat(path, &theirs) == 0 && mine.st_dev == theirs.st_dev &&
           mine.st_ino == theirs.st_ino;
}

/* 0, or -1 and errno. */
static int lock_try(int fd) {
    int result;
    do {
        result = fcntl(fd, F_OFD_SETLK, &whole_file);
    } while (result != 0 && errno == EINTR);
    return result;
}

/* Refuses a file of this name whose text is none of a run's. After a power cut a lock may consist
 * of zero bytes. */
static Status text_check(int fd, const char *path) {
    char text[64];
    int process;
    size_t n;
    TRY(file_read_at(fd, path, text, sizeof text - 1, 0, &n));
    text[n] = '\0';
    if (text[0] == '\0' || sscanf(text, "process %d on ", &process) == 1) return OK;
    return ERROR(STATUS_CONFIG, "%s: is not the lock of a run; move it away", path);
}

/* Writes the holder into the file; removes the file if that fails. */
static Status lock_mark(RunLock *lock, const char *path) {
    TRY(text_check(lock->fd, path));
    lock->is_held = true;
    Status status = holder_write(lock->fd, path);
    if (failed(status) && lock->is_new) file_remove(path);
    return status;
}

static Status lock_file(const char *dir, const char *path, RunLock *lock) {
    TRY(lock_open(path, lock));
    while (lock_try(lock->fd) == 0) {
        if (is_current(lock->fd, path)) return lock_mark(lock, path);
        file_close(lock->fd);
        TRY(lock_open(path, lock));
    }
    if (errno != EAGAIN && errno != EACCES) return OK; /* the file system has no locks */
    char holder[256];
    lock->is_refused = true;
    holder_read(lock->fd, path, holder);
    return ERROR(
        STATUS_FAILURE,
        "%s: another run is using this directory: %s; wait for it, end it, or set another output",
        dir, holder);
}

Status run_lock_take(const char *dir, RunLock **out) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/run.lock", dir) >= (int)sizeof path) {
        return ERROR(STATUS_FAILURE, "%s: the path is too long", dir);
    }
    RunLock *lock = calloc(1, sizeof *lock);
    if (lock == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to lock %s", dir);
    Status status = lock_file(dir, path, lock);
    if (failed(status)) {
        run_lock_release(&lock);
        return status;
    }
    *out = lock;
    return OK;
}

/* Errors: STATUS_FAILURE for another holder. Network file systems may give a file another inode
 * number, so the text tells whether it is this process. */
static Status holder_check(int fd, const char *path) {
    char holder[256], mine[256];
    holder_name(mine);
    holder_read(fd, path, holder);
    if (strcmp(holder, mine) == 0) return OK;
    return ERROR(STATUS_FAILURE,
                 "%s was removed or replaced, and another run uses the directory now: %s; this one "
                 "ends and leaves it alone",
                 path, holder);
}

/* Locks the file that is now at the path, or a new one. */
static Status lock_renew(const char *dir, const char *path, RunLock *lock, bool *was_lost) {
    RunLock new = {.fd = -1};
    Status status = lock_file(dir, path, &new);
    if (new.is_refused) {
        status = holder_check(new.fd, path);
        file_close(new.fd);
        return status;
    }
    *was_lost = true;
    lock->is_held = !failed(status) && new.is_held;
    file_close(lock->is_held ? lock->fd : new.fd);
    if (lock->is_held) lock->fd = new.fd;
    return OK;
}

Status run_lock_check(const char *dir, RunLock *lock, bool *was_lost) {
    char path[PATH_MAX];
    *was_lost = false;
    snprintf(path, sizeof path, "%s/run.lock", dir);
    return !lock->is_held || is_current(lock->fd, path) ? OK
                                                        : lock_renew(dir, path, lock, was_lost);
}

bool run_lock_is_held(const RunLock *lock) { return lock->is_held; }
bool run_lock_is_new(const RunLock *lock) { return lock->is_new; }

void run_lock_release(RunLock **lock) {
    if (*lock == NULL) return;
    if ((*lock)->is_held) file_rewrite((*lock)->fd, "", 0); /* an outdated text is harmless */
    file_close((*lock)->fd);
    free(*lock);
    *lock = NULL;
}

/* Whether another process holds the lock, tested without taking it, so that a run that starts at
 * this moment gets it. Without locks, the text of the holder decides. */
static bool is_locked(int fd) {
    struct flock lock = whole_file;
    return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

bool run_lock_is_taken(const char *dir) {
    char path[PATH_MAX], holder[2] = "";
    snprintf(path, sizeof path, "%s/run.lock", dir);
    int fd = file_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0) return false;
    size_t bytes;
    bool is_taken =
        !failed(file_read_at(fd, path, holder, 1, 0, &bytes)) && bytes == 1 && is_locked(fd);
    file_close(fd);
    return is_taken;
}
