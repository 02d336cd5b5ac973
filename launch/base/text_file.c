#include "launch/base/text_file.h"

#include "core/base/escape.h"
#include "core/base/file.h"
#include "core/base/replacement.h"
#include "launch/base/output.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 64 << 20 };

Status text_file_replace(const char *path, const char *text) {
    Replacement *new;
    TRY(replacement_begin(path, &new));
    return replacement_end(&new, replacement_write(new, text, strlen(text)));
}

Status text_file_replace_json(const char *path, json_t *value, size_t flags) {
    if (value == NULL) return OUT_OF_MEMORY("%s", path);
    Output output;
    Status status = output_open(path, &output);
    if (!failed(status)) {
        bool is_written = json_dumpf(value, output.file,
                                     flags | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(10)) == 0 &&
                          fputc('\n', output.file) != EOF;
        status = output_finish(&output, is_written ? OK : file_cannot_write(path, errno));
    }
    json_decref(value);
    return status;
}

Status text_file_append(const char *path, const char *line) {
    char *text;
    int bytes = asprintf(&text, "%s\n", line), fd;
    if (bytes < 0) return OUT_OF_MEMORY("%s", path);
    Status status = file_open_append(path, &fd);
    if (failed(status)) {
        free(text);
        return status;
    }
    off_t before = lseek(fd, 0, SEEK_END);
    int error = file_write_all(fd, text, (size_t)bytes);
    /* A part of the line could be read as another one, and the next would continue it. */
    while (error != 0 && ftruncate(fd, before) != 0 && errno == EINTR) continue;
    file_close(fd);
    free(text);
    return error == 0 ? OK : file_cannot_write(path, error);
}

Status text_file_read(Arena *arena, const char *path, const char **out) {
    char *text;
    *out = NULL;
    TRY(file_read_all(path, MOST_BYTES, &text, NULL));
    if (text == NULL) return OK;
    *out = arena_strdup(arena, text);
    free(text);
    return *out != NULL ? OK : ERROR(STATUS_OUT_OF_MEMORY, "out of memory to read %s", path);
}

Status text_file_read_json(const char *path, json_t **out) {
    char *text;
    size_t size;
    json_error_t error;
    *out = NULL;
    TRY(file_read_all(path, MOST_BYTES, &text, &size));
    if (text == NULL) return OK;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    free(text);
    return *out != NULL
               ? OK
               : ERROR(STATUS_DATA, "%s:%d:%d: %s", path, error.line, error.column, error.text);
}

static Status tail_read(int fd, const char *path, char *text, size_t capacity, bool *is_cut) {
    struct stat info;
    size_t got = 0;
    if (fstat(fd, &info) != 0)
        return ERROR(STATUS_FAILURE, "%s: cannot inspect it: %s", path, strerror(errno));
    size_t end = (size_t)info.st_size, start = end < capacity ? 0 : end - capacity + 1;
    Status status = file_read_at(fd, path, text, capacity - 1, start, &got);
    if (failed(status)) got = 0;
    text[got] = '\0';
    escape_zeros(text, got);
    *is_cut = start > 0;
    return status;
}

Status text_file_tail(const char *path, char *text, size_t capacity) {
    int fd;
    bool is_cut = false;
    text[0] = '\0';
    TRY(file_open_regular(path, &fd));
    if (fd < 0) return OK;
    Status status = tail_read(fd, path, text, capacity, &is_cut);
    file_close(fd);
    const char *first = is_cut ? strchr(text, '\n') : NULL;
    if (first != NULL) memmove(text, first + 1, strlen(first + 1) + 1);
    return status;
}
