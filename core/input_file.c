#include "core/input_file.h"

#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Whether the file or its path is wrong, rather than the machine. */
static bool is_file_to_blame(int error) {
    return error != EIO && error != ENOMEM && error != EMFILE && error != ENFILE && error != ESTALE;
}

static Status cannot_open(const char *path, int error) {
    if (error == ENOENT || error == ENOTDIR) return ERROR(STATUS_DATA, "%s: no such file", path);
    if (error == EACCES) return ERROR(STATUS_DATA, "%s: no permission to read it; chmod +r lets you", path);
    StatusCode code = is_file_to_blame(error) ? STATUS_DATA : STATUS_FAILURE;
    return ERROR(code, "%s: cannot open it: %s", path, strerror(error));
}

static Status kind_check(const InputFile *file, const struct stat *info) {
    if (S_ISDIR(info->st_mode)) return ERROR(STATUS_DATA, "%s: a directory; name the file in it", file->path);
    if (!S_ISREG(info->st_mode)) return ERROR(STATUS_DATA, "%s: not a regular file; copy it into one", file->path);
    return OK;
}

Status input_open(const char *path, InputFile *out) {
    struct stat info;
    *out = (InputFile){.path = path};
    out->fd = file_open(path, O_RDONLY | O_NONBLOCK, 0);
    if (out->fd < 0) return cannot_open(path, errno);
    Status status = fstat(out->fd, &info) == 0 ? kind_check(out, &info) : cannot_open(path, errno);
    if (failed(status))
        input_close(out);
    else
        out->bytes = (uint64_t)info.st_size;
    return status;
}

void input_close(InputFile *file) {
    file_close(file->fd);
    file->fd = -1;
}

static Status shrunk(const InputFile *file) {
    struct stat info = {0};
    fstat(file->fd, &info);
    return ERROR(STATUS_DATA, "%s: became shorter while it was read: %lld of %llu bytes are left; write it again",
                 file->path, (long long)info.st_size, (unsigned long long)file->bytes);
}

Status input_read(const InputFile *file, void *out, size_t bytes, uint64_t at) {
    size_t got;
    TRY(file_read_at(file->fd, file->path, out, bytes, at, &got));
    return got == bytes ? OK : shrunk(file);
}

static Status whole_read(const InputFile *file, size_t most, char **text, size_t *bytes) {
    if (file->bytes > most) {
        return ERROR(STATUS_DATA, "%s: %llu bytes are too many; at most %zu are read", file->path,
                     (unsigned long long)file->bytes, most);
    }
    *bytes = (size_t)file->bytes;
    *text = malloc(*bytes + 1);
    if (*text == NULL) return ERROR(STATUS_NO_ROOM, "%s: out of memory to read its %zu bytes", file->path, *bytes);
    (*text)[*bytes] = '\0';
    Status status = input_read(file, *text, *bytes, 0);
    if (!failed(status)) return OK;
    free(*text);
    *text = NULL;
    return status;
}

Status input_read_whole(const char *path, size_t most, char **text, size_t *bytes) {
    InputFile file;
    *text = NULL;
    *bytes = 0;
    TRY(input_open(path, &file));
    Status status = whole_read(&file, most, text, bytes);
    input_close(&file);
    return status;
}
