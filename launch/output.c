#include "launch/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static Status cannot_write(const char *path) {
    return ERROR(STATUS_FAILURE, "%s: cannot write: %s", path, strerror(errno));
}

static bool is_still_named(int fd, const char *name) {
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && lstat(name, &named) == 0 && opened.st_ino == named.st_ino;
}

/* The file of that name, empty and ours alone: while one waits for its lock, it may take its name or be removed. Where
 * there are no locks, the lock of the directory must do. */
static int aside_open(const char *aside) {
    for (;;) {
        int fd = open(aside, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0) return -1;
        while (flock(fd, LOCK_EX) != 0 && errno == EINTR) continue;
        bool is_ours = is_still_named(fd, aside);
        if (is_ours && ftruncate(fd, 0) == 0) return fd;
        close(fd);
        if (is_ours) return -1;
    }
}

/* Takes over `fd`. */
static Status stream_open(int fd, Output *out) {
    out->file = fd < 0 ? NULL : fdopen(fd, "w");
    if (out->file != NULL) return OK;
    Status status = cannot_write(out->path);
    if (fd >= 0) close(fd);
    free(out->aside);
    out->aside = NULL;
    return status;
}

Status output_open(const char *path, Output *out) {
    *out = (Output){.path = path};
    if (asprintf(&out->aside, "%s.new", path) < 0) return ERROR(STATUS_NO_ROOM, "%s: out of memory", path);
    return stream_open(aside_open(out->aside), out);
}

Status output_open_named(const char *path, Output *out) {
    struct stat info;
    if (lstat(path, &info) != 0 || S_ISREG(info.st_mode)) return output_open(path, out);
    *out = (Output){.path = path};
    return stream_open(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), out);
}

/* The name is durable too; where a directory cannot be synced, the file is still whole. */
static void directory_sync(const char *path) {
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

/* Its lock is held until it has its name. */
static bool take_name(const Output *o) { return fsync(fileno(o->file)) == 0 && rename(o->aside, o->path) == 0; }

Status output_finish(Output *output, Status status) {
    Output o = *output;
    *output = (Output){0};
    if (o.file == NULL) return status;
    bool is_whole = fflush(o.file) == 0 && !ferror(o.file);
    if (!failed(status) && !(is_whole && (o.aside == NULL || take_name(&o)))) status = cannot_write(o.path);
    if (failed(status) && o.aside != NULL) unlink(o.aside);
    if (fclose(o.file) != 0 && !failed(status)) status = cannot_write(o.path);
    if (!failed(status) && o.aside != NULL) directory_sync(o.path);
    free(o.aside);
    return status;
}
