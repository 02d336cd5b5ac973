#include "core/base/input_file.h"

#include "core/base/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static Status missing(const char *path) { return ERROR(STATUS_DATA, "%s: no such file", path); }

/* Missing permission is for the user to fix, not a failure of the machine. */
static Status refused(const char *path, Status status) {
    if (!failed(status) || euidaccess(path, R_OK) == 0 || errno != EACCES) return status;
    return ERROR(STATUS_DATA, "%s: no permission to read it; run chmod +r on it", path);
}

Status input_open(const char *path, InputFile *out) {
    struct stat info;
    *out = (InputFile){.path = path, .fd = -1};
    TRY(refused(path, file_open_regular(path, &out->fd)));
    if (out->fd < 0) return missing(path);
    if (fstat(out->fd, &info) != 0) {
        Status status = ERROR(STATUS_FAILURE, "%s: cannot inspect it: %s", path, strerror(errno));
        input_close(out);
        return status;
    }
    out->bytes = (uint64_t)info.st_size;
    return OK;
}

void input_close(InputFile *file) {
    file_close(file->fd);
    file->fd = -1;
}

static Status shrunk(const InputFile *file) {
    struct stat info = {0};
    fstat(file->fd, &info);
    return ERROR(STATUS_DATA,
                 "%s: became shorter during reading: %lld of %llu bytes are left; write it again",
                 file->path, (long long)info.st_size, (unsigned long long)file->bytes);
}

Status input_read(const InputFile *file, void *out, size_t bytes, uint64_t at) {
    size_t got;
    TRY(file_read_at(file->fd, file->path, out, bytes, at, &got));
    return got == bytes ? OK : shrunk(file);
}

Status input_read_whole(const char *path, size_t most, char **text, size_t *bytes) {
    TRY(refused(path, file_read_all(path, most, text, bytes)));
    return *text == NULL ? missing(path) : OK;
}
