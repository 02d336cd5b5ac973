#include "launch/convert/created_files.h"

#include "core/base/file.h"
#include "launch/base/output.h"
#include "launch/convert/formats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 30 }; /* of a copy */

typedef struct CreatedFile {
    struct CreatedFile *previous;
    const char *path;
} CreatedFile;

Status created_add(CreatedFiles *files, const char *path) {
    CreatedFile *file = arena_alloc(&files->arena, sizeof *file);
    const char *copy = arena_strdup(&files->arena, path);
    if (file == NULL || copy == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path);
    *file = (CreatedFile){files->last, copy};
    files->last = file;
    return OK;
}

/* With the fewest digits that keep every number. */
static char *json_text(const json_t *value) {
    for (size_t digits = 15; digits <= 17; digits++) {
        char *text =
            json_dumps(value, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(digits));
        json_t *again = text == NULL ? NULL : json_loads(text, 0, NULL);
        bool same = again != NULL && json_equal(again, value);
        json_decref(again);
        if (same) return text;
        free(text);
    }
    return NULL;
}

static Status bytes_create(CreatedFiles *files, const char *path, const char *bytes, size_t size) {
    Output output;
    TRY(output_open_new(path, &output));
    bool is_written = fwrite(bytes, 1, size, output.file) == size;
    TRY(output_finish(&output, is_written ? OK : file_cannot_write(path, errno)));
    return created_add(files, path);
}

Status created_json(CreatedFiles *files, const char *path, json_t *value) {
    char *text = value == NULL ? NULL : json_text(value), *line = NULL;
    json_decref(value);
    bool fits = text != NULL && asprintf(&line, "%s\n", text) >= 0;
    Status status = fits ? bytes_create(files, path, line, strlen(line))
                         : ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path);
    if (fits) free(line);
    free(text);
    return status;
}

Status created_copy(CreatedFiles *files, const char *from, const char *path) {
    char *bytes;
    size_t size;
    TRY(file_read_all(from, MOST_BYTES, &bytes, &size));
    if (bytes == NULL) return ERROR(STATUS_DATA, "%s: no such file", from);
    Status status = bytes_create(files, path, bytes, size);
    free(bytes);
    return status;
}

void created_remove(const CreatedFiles *files) {
    for (const CreatedFile *file = files->last; file != NULL; file = file->previous)
        file_remove(file->path);
}

void created_destroy(CreatedFiles *files) {
    arena_free(&files->arena);
    files->last = NULL;
}
