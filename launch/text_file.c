#include "launch/text_file.h"

#include "launch/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 64 << 20 };

static Status cannot_write(const char *path, int error) {
    return ERROR(STATUS_FAILURE, "%s: cannot write: %s", path, strerror(error));
}

Status text_file_replace(const char *path, const char *text) {
    Output output;
    TRY(output_open(path, &output));
    bool is_written = fputs(text, output.file) >= 0;
    return output_finish(&output, is_written ? OK : cannot_write(path, errno));
}

Status text_file_replace_json(const char *path, json_t *value, size_t flags) {
    Output output;
    if (value == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for %s", path);
    Status status = output_open(path, &output);
    if (!failed(status)) {
        bool is_written = json_dumpf(value, output.file, flags | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(10)) == 0 &&
                          fputc('\n', output.file) != EOF;
        status = output_finish(&output, is_written ? OK : cannot_write(path, errno));
    }
    json_decref(value);
    return status;
}

Status text_file_append(const char *path, const char *line) {
    char text[1024];
    int bytes = snprintf(text, sizeof text, "%s\n", line);
    if (bytes >= (int)sizeof text) return cannot_write(path, EMSGSIZE);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return cannot_write(path, errno);
    ssize_t wrote;
    do {
        wrote = write(fd, text, (size_t)bytes);
    } while (wrote < 0 && errno == EINTR);
    int error = wrote == bytes ? 0 : wrote < 0 ? errno : ENOSPC;
    if (close(fd) != 0 && error == 0) error = errno;
    return error == 0 ? OK : cannot_write(path, error);
}

const char *text_file_read(Arena *arena, const char *path) {
    FILE *file = fopen(path, "r");
    if (file == NULL) return NULL;
    char *bytes = NULL;
    if (fseek(file, 0, SEEK_END) == 0) {
        long size = ftell(file);
        rewind(file);
        if (size >= 0 && size <= MOST_BYTES) bytes = arena_alloc(arena, (size_t)size + 1);
        if (bytes != NULL && fread(bytes, 1, (size_t)size, file) != (size_t)size) bytes = NULL;
    }
    fclose(file);
    return bytes;
}

void text_file_tail(const char *path, char *text, size_t room) {
    text[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    off_t end = lseek(fd, 0, SEEK_END), start = end < (off_t)room ? 0 : end - (off_t)room + 1;
    ssize_t bytes = end < 0 ? 0 : pread(fd, text, room - 1, start);
    close(fd);
    text[bytes > 0 ? bytes : 0] = '\0';
    if (start == 0) return;
    const char *first = strchr(text, '\n');
    if (first != NULL) memmove(text, first + 1, strlen(first + 1) + 1);
}
