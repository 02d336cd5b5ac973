#include "launch/base/output.h"

#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Takes over `fd`. */
static Status stream_open(int fd, Output *out) {
    out->fd = fd;
    out->file = file_stream(fd, "w");
    if (out->file != NULL) return OK;
    Status status = file_cannot_write(out->path, errno);
    replacement_destroy(&out->new);
    return status;
}

Status output_open(const char *path, Output *out) {
    *out = (Output){.path = path};
    TRY(replacement_begin(path, &out->new));
    return stream_open(dup(replacement_fd(out->new)), out);
}

Status output_check_new(const char *path) {
    bool is_there;
    TRY(file_exists(path, &is_there));
    return is_there ? ERROR(STATUS_DATA, "%s: already exists; remove it first", path) : OK;
}

Status output_create(const char *path, Output *out) {
    *out = (Output){.path = path};
    TRY(output_check_new(path));
    TRY(output_open(path, out));
    replacement_keep_old(out->new);
    return OK;
}

Status output_open_named(const char *path, Output *out) {
    struct stat info;
    if (lstat(path, &info) != 0 || S_ISREG(info.st_mode)) return output_open(path, out);
    *out = (Output){.path = path};
    return stream_open(file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666), out);
}

Status output_check_named(const char *path, const char *const *starts, const char *what) {
    struct stat info;
    bool is_file = stat(path, &info) == 0 && S_ISREG(info.st_mode);
    return is_file ? replacement_check(path, starts, what) : OK;
}

Status output_finish(Output *output, Status status) {
    Output o = *output;
    *output = (Output){0};
    if (o.file == NULL) return status;
    errno = 0;
    bool is_whole = fflush(o.file) == 0 && !ferror(o.file);
    if (!failed(status) && !is_whole) status = file_cannot_write(o.path, errno == 0 ? EIO : errno);
    fclose(o.file);
    return o.new == NULL ? status : replacement_end(&o.new, status);
}
