#include "core/base/file.h"

#include "core/base/escape.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { STREAM_BYTES = 1 << 16 };

/* The result of a system call, retried after EINTR. */
#define RETRIED(call)                                                                              \
    ({                                                                                             \
        __auto_type result_ = (call);                                                              \
        while (result_ < 0 && errno == EINTR) result_ = (call);                                    \
        result_;                                                                                   \
    })

/* ---- opening --------------------------------------------------------------------------------- */

int file_open(const char *path, int flags, mode_t mode) {
    return RETRIED(open(path, flags | O_CLOEXEC | O_NOCTTY, mode));
}

void file_close(int fd) {
    int error = errno;
    if (fd >= 0) close(fd);
    errno = error;
}

static bool is_absence(int error) { return error == ENOENT || error == ENOTDIR; }

static const char *kind_of(mode_t mode) {
    if (S_ISFIFO(mode)) return "a FIFO";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

bool file_is_machines(int error) {
    return error == EIO || error == ENOMEM || error == EMFILE || error == ENFILE || error == ESTALE;
}

static Status cannot(const char *path, const char *what, int error) {
    StatusCode code = error == ELOOP || error == ENAMETOOLONG ? STATUS_DATA : STATUS_FAILURE;
    return ERROR(code, "%s: cannot %s it: %s", path, what, strerror(error));
}

static Status kind_check(const char *path, mode_t mode) {
    if (S_ISREG(mode)) return OK;
    if (S_ISDIR(mode)) return ERROR(STATUS_DATA, "%s: is a directory; name the file in it", path);
    return ERROR(STATUS_DATA, "%s: not a regular file, but %s; copy it into one", path,
                 kind_of(mode));
}

/* Takes over the descriptor; closes it if it is not a regular file. */
static Status regular_check(const char *path, int *fd) {
    struct stat info;
    Status status =
        fstat(*fd, &info) == 0 ? kind_check(path, info.st_mode) : cannot(path, "look at", errno);
    if (!failed(status)) return OK;
    file_close(*fd);
    *fd = -1;
    return status;
}

Status file_open_regular(const char *path, int *fd) {
    *fd = file_open(path, O_RDONLY | O_NONBLOCK, 0);
    if (*fd >= 0) return regular_check(path, fd);
    return is_absence(errno) ? OK : cannot(path, "open", errno);
}

static Status link_refused(const char *path) {
    return ERROR(STATUS_DATA, "%s: is a link, which is not followed; replace it with a file", path);
}

Status file_refuse_link(const char *path) {
    struct stat info;
    if (RETRIED(lstat(path, &info)) != 0)
        return is_absence(errno) ? OK : cannot(path, "look at", errno);
    return S_ISLNK(info.st_mode) ? link_refused(path) : OK;
}

Status file_exists(const char *path, bool *out) {
    struct stat info;
    *out = RETRIED(lstat(path, &info)) == 0;
    return *out || is_absence(errno) ? OK : cannot(path, "look at", errno);
}

Status file_open_append(const char *path, int *fd) {
    *fd = file_open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (*fd >= 0) return regular_check(path, fd);
    if (errno == ELOOP) return link_refused(path);
    if (errno == ENXIO)
        return ERROR(STATUS_DATA, "%s: not a regular file, but a FIFO or a device; move it away",
                     path);
    return file_cannot_write(path, errno);
}

Status file_open_unnamed(const char *directory, const char *name, char *path, int *fd) {
    *fd = -1;
    if (snprintf(path, PATH_MAX, "%s/.%s-XXXXXX", directory, name) >= PATH_MAX)
        return ERROR(STATUS_USAGE, "%s: the path is too long", directory);
    *fd = mkostemp(path, O_CLOEXEC);
    if (*fd < 0) return ERROR(STATUS_FAILURE, "%s: cannot create it: %s", path, strerror(errno));
    file_remove(path);
    return OK;
}

Status file_look(const char *path, struct stat *info, bool *is_there) {
    struct stat found;
    *is_there = RETRIED(stat(path, &found)) == 0;
    if (!*is_there && !is_absence(errno)) return cannot(path, "look at", errno);
    if (*is_there && info != NULL) *info = found;
    return OK;
}

/* ---- reading and writing --------------------------------------------------------------------- */

Status file_read_at(int fd, const char *path, void *to, size_t bytes, size_t at, size_t *got) {
    for (*got = 0; *got < bytes;) {
        ssize_t n = RETRIED(pread(fd, (char *)to + *got, bytes - *got, (off_t)(at + *got)));
        if (n < 0) return cannot(path, "read", errno);
        if (n == 0) break;
        *got += (size_t)n;
    }
    return OK;
}

Status file_read_beginning(const char *path, void *to, size_t bytes, ssize_t *got) {
    int fd;
    size_t read;
    *got = -1;
    TRY(file_open_regular(path, &fd));
    if (fd < 0) return OK;
    Status status = file_read_at(fd, path, to, bytes, 0, &read);
    if (!failed(status)) *got = (ssize_t)read;
    file_close(fd);
    return status;
}

/* Reads from position 0 in blocks of doubling size, because the file may grow meanwhile. */
static Status read_whole(int fd, const char *path, size_t most, char **text, size_t *size) {
    struct stat info;
    *size = 0;
    if (fstat(fd, &info) != 0) return cannot(path, "look at", errno);
    for (size_t capacity = (size_t)info.st_size + 1, got;; capacity *= 2) {
        if (*size > most || (size_t)info.st_size > most) {
            return ERROR(STATUS_DATA, "%s: is larger than the limit of %zu bytes; shorten it", path,
                         most);
        }
        char *grown = realloc(*text, capacity + 1);
        if (grown == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to read %s", path);
        *text = grown;
        TRY(file_read_at(fd, path, grown + *size, capacity - *size, *size, &got));
        *size += got;
        grown[*size] = '\0';
        if (*size < capacity) return OK;
    }
}

Status file_read_all(const char *path, size_t most, char **text, size_t *size) {
    int fd;
    size_t bytes = 0;
    *text = NULL;
    if (size != NULL) *size = 0;
    TRY(file_open_regular(path, &fd));
    if (fd < 0) return OK;
    Status status = read_whole(fd, path, most, text, &bytes);
    file_close(fd);
    if (failed(status)) {
        free(*text);
        *text = NULL;
    } else if (size != NULL) {
        *size = bytes;
    } else {
        escape_zeros(*text, bytes);
    }
    return status;
}

/* write(2) beyond RLIMIT_FSIZE raises SIGXFSZ, which kills the process. With the signal blocked on
 * this thread, it returns EFBIG. */
static ssize_t write_unkilled(int fd, const void *bytes, size_t n) {
    sigset_t only, before;
    sigemptyset(&only);
    sigaddset(&only, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &only, &before);
    ssize_t wrote = RETRIED(write(fd, bytes, n));
    int error = errno;
    if (wrote < 0 && error == EFBIG) sigtimedwait(&only, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return wrote;
}

int file_write_all(int fd, const void *bytes, size_t n) {
    const size_t most = (size_t)64 << 20;
    for (const char *at = bytes; n > 0;) {
        ssize_t wrote = write_unkilled(fd, at, n < most ? n : most);
        if (wrote < 0 && errno == EAGAIN &&
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1) >= 0)
            continue;
        if (wrote < 0) return errno;
        if (wrote == 0) return ENOSPC;
        at += wrote;
        n -= (size_t)wrote;
    }
    return 0;
}

int file_write_direct(int fd, const void *bytes, size_t n) {
    off_t at = lseek(fd, 0, SEEK_CUR);
    int flags = fcntl(fd, F_GETFL);
    bool is_direct = at >= 0 && flags >= 0 && fcntl(fd, F_SETFL, flags | O_DIRECT) == 0;
    int error = file_write_all(fd, bytes, n);
    if (!is_direct) return error;
    if (fcntl(fd, F_SETFL, flags) != 0) return errno;
    if (error != EINVAL) return error;
    return lseek(fd, at, SEEK_SET) < 0 ? errno : file_write_all(fd, bytes, n);
}

int file_rewrite(int fd, const void *bytes, size_t n) {
    if (RETRIED(ftruncate(fd, 0)) != 0 || lseek(fd, 0, SEEK_SET) < 0) return errno;
    return file_write_all(fd, bytes, n);
}

static ssize_t stream_read(void *cookie, char *to, size_t n) {
    return RETRIED(read((int)(intptr_t)cookie, to, n));
}

static ssize_t stream_write(void *cookie, const char *from, size_t n) {
    int error = file_write_all((int)(intptr_t)cookie, from, n);
    if (error != 0) errno = error;
    return error == 0 ? (ssize_t)n : 0;
}

static int stream_close(void *cookie) {
    file_close((int)(intptr_t)cookie);
    return 0;
}

FILE *file_stream(int fd, const char *mode) {
    const cookie_io_functions_t calls = {
        .read = stream_read, .write = stream_write, .close = stream_close};
    FILE *stream = fd < 0 ? NULL : fopencookie((void *)(intptr_t)fd, mode, calls);
    if (stream != NULL) {
        setvbuf(stream, NULL, _IOFBF, STREAM_BYTES);
    } else {
        file_close(fd);
    }
    return stream;
}

Status file_cannot_write(const char *path, int error) {
    bool is_full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return ERROR(STATUS_FAILURE, "%s: cannot write: %s%s", path, strerror(error),
                 is_full ? "; free some space" : "");
}

/* ---- durability and locks -------------------------------------------------------------------- */

static pthread_mutex_t notice_lock = PTHREAD_MUTEX_INITIALIZER;
static char notice[512];
static bool notice_is_taken;

static void notice_keep(const char *directory, int error) {
    pthread_mutex_lock(&notice_lock);
    if (notice[0] == '\0') {
        snprintf(notice, sizeof notice,
                 "%.300s: its file system cannot sync a directory (%s); a new file may be missing "
                 "after a power cut",
                 directory, strerror(error));
    }
    pthread_mutex_unlock(&notice_lock);
}

bool file_notice_take(char *out, size_t capacity) {
    pthread_mutex_lock(&notice_lock);
    bool is_new = notice[0] != '\0' && !notice_is_taken;
    if (is_new) {
        snprintf(out, capacity, "%s", notice);
        notice_is_taken = true;
    }
    pthread_mutex_unlock(&notice_lock);
    return is_new;
}

int file_sync(int fd) { return RETRIED(fsync(fd)) == 0 ? 0 : errno; }

static bool is_refusal(int error) {
    return error == EINVAL || error == ENOTSUP || error == ENOSYS || error == EBADF ||
           error == EROFS;
}

Status file_sync_directory(const char *directory) {
    int fd = file_open(directory, O_RDONLY | O_DIRECTORY, 0),
        error = fd < 0 ? errno : file_sync(fd);
    bool is_tolerated = fd < 0 ? error == EACCES : is_refusal(error);
    file_close(fd);
    if (error != 0 && !is_tolerated) return cannot(directory, "sync", error);
    if (error != 0) notice_keep(directory, error);
    return OK;
}

int file_lock(int fd, bool waits) {
    return RETRIED(flock(fd, waits ? LOCK_EX : LOCK_EX | LOCK_NB)) == 0 ? 0 : errno;
}

int file_rename(const char *from, const char *to) {
    return RETRIED(rename(from, to)) == 0 ? 0 : errno;
}

int file_exchange(const char *a, const char *b) {
    return RETRIED(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE)) == 0 ? 0 : errno;
}

void file_remove(const char *path) {
    int error = errno;
    (void)!RETRIED(unlink(path));
    errno = error;
}

/* ---- directories ----------------------------------------------------------------------------- */

/* Returns NULL with errno 0 at the end. */
static const struct dirent *entry_next(DIR *directory) {
    const struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(directory);
    } while (entry == NULL && errno == EINTR);
    return entry;
}

/* A missing directory counts as empty, even if another process creates it now. */
static Status listing_refused(const char *path, int error) {
    bool is_there = true;
    if (error == ENOENT) return OK;
    if (is_absence(error)) TRY(file_look(path, NULL, &is_there));
    return is_there ? cannot(path, "list", error) : OK;
}

/* Visits the entries of a directory; takes over the descriptor. Returns 0 or errno. */
static int entries_visit(int fd, bool (*visit)(void *context, const char *name), void *context) {
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        file_close(fd);
        return errno;
    }
    const struct dirent *entry;
    bool goes_on = true;
    int error = 0;
    while (goes_on) {
        entry = entry_next(directory);
        if (entry == NULL) error = errno;
        if (entry == NULL) break;
        bool is_dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!is_dots) goes_on = visit(context, entry->d_name);
    }
    closedir(directory);
    return error;
}

Status file_list(const char *path, bool (*visit)(void *context, const char *name), void *context) {
    int fd = file_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return listing_refused(path, errno);
    int error = entries_visit(fd, visit, context);
    return error == 0 ? OK : cannot(path, "list", error);
}

static bool remove_in(void *fd, const char *name) {
    (void)!RETRIED(unlinkat(*(int *)fd, name, 0));
    return true;
}

void file_remove_directory(const char *path) {
    int error = errno, fd = file_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd >= 0) (void)!entries_visit(fd, remove_in, &fd);
    (void)!rmdir(path);
    errno = error;
}

void file_directory(const char *path, char *out, size_t capacity) {
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    snprintf(out, capacity, "%s", dirname(copy));
}
