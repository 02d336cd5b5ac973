#include "data/json_documents.h"

#include "core/base/utf8.h"
#include "data/json_start.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_BYTES = 1 << 20,
    MOST_LINE_BYTES = 1 << 30,
    JSON_FLAGS = JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL
};

typedef struct JsonLines {
    TextStream *stream;
    const char *field;
    const DocumentSink *sink;
    long long line; /* from 1 */
    char *bytes;
    size_t at, filled, capacity;
} JsonLines;

/* ---- one line -------------------------------------------------------------------------------- */

/* The names of fields, separated by commas: of those with a string, or of all. */
static void fields_write(const json_t *object, bool strings_only, char *out, size_t capacity) {
    const char *name;
    json_t *value;
    size_t n = 0;
    out[0] = '\0';
    json_object_foreach((json_t *)object, name, value) {
        if (strings_only && !json_is_string(value)) continue;
        int more = snprintf(out + n, capacity - n, "%s%s", n == 0 ? "" : ", ", name);
        if (more < 0 || (size_t)more >= capacity - n) break;
        n += (size_t)more;
    }
}

static const char *type_name(const json_t *value) {
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return names[json_typeof(value)];
}

/* `is_cut`: the line ends within a value. */
static Status not_json(const JsonLines *lines, const char *line, const char *reason, bool is_cut) {
    const char *path = text_stream_path(lines->stream);
    if (lines->line == 1 && line[0] == '[') {
        return ERROR(STATUS_DATA, "%s:1: a JSON array, not JSON lines; convert it with jq -c '.[]'",
                     path);
    }
    if (lines->line == 1 && line[0] == '{' && is_cut) {
        return ERROR(
            STATUS_DATA,
            "%s:1: not a whole JSON object (%s); write each object on one line, as jq -c . "
            "does",
            path, reason);
    }
    if (lines->line == 1 && line[0] != '{') {
        return ERROR(STATUS_DATA, "%s:1: not a JSON object (%s); for plain text leave out --field",
                     path, reason);
    }
    return ERROR(STATUS_DATA, "%s:%lld: not a JSON object (%s); correct or remove the line", path,
                 lines->line, reason);
}

static Status field_pass(const JsonLines *lines, const json_t *object) {
    const char *path = text_stream_path(lines->stream);
    const json_t *text = json_object_get(object, lines->field);
    char fields[256];
    fields_write(object, false, fields, sizeof fields);
    if (text == NULL) {
        return ERROR(STATUS_DATA, "%s:%lld: no field '%s'; --field can be one of: %s", path,
                     lines->line, lines->field, fields);
    }
    if (!json_is_string(text) && !json_is_null(text)) {
        return ERROR(STATUS_DATA,
                     "%s:%lld: the field '%s' is %s, not a string; correct the line or choose "
                     "another --field",
                     path, lines->line, lines->field, type_name(text));
    }
    const DocumentSink *sink = lines->sink;
    size_t bytes = json_string_length(text);
    if (bytes > 0) TRY(sink->part(sink->context, (const uint8_t *)json_string_value(text), bytes));
    return sink->end(sink->context);
}

static Status line_pass(JsonLines *lines, const char *line, size_t bytes) {
    lines->line++;
    size_t mark = lines->line == 1 ? utf8_mark((const uint8_t *)line, bytes) : 0;
    line += mark;
    bytes -= mark;
    while (bytes > 0 && memchr(" \t\r", line[0], 3) != NULL) line++, bytes--;
    if (bytes == 0) return OK;
    json_error_t error;
    json_t *object = json_loadb(line, bytes, JSON_FLAGS, &error);
    Status status;
    if (json_is_object(object))
        status = field_pass(lines, object);
    else if (object != NULL)
        status = not_json(lines, line, type_name(object), false);
    else
        status = not_json(lines, line, error.text,
                          json_error_code(&error) == json_error_premature_end_of_input);
    json_decref(object);
    return status;
}

/* ---- all lines ------------------------------------------------------------------------------- */

/* Reads more bytes behind those that are left. *is_last: there are no more. */
static Status lines_fill(JsonLines *lines, bool *is_last) {
    size_t got;
    memmove(lines->bytes, lines->bytes + lines->at, lines->filled - lines->at);
    lines->filled -= lines->at;
    lines->at = 0;
    if (lines->filled == lines->capacity) {
        char *more =
            lines->capacity < MOST_LINE_BYTES ? realloc(lines->bytes, 2 * lines->capacity) : NULL;
        if (more == NULL) {
            return ERROR(STATUS_DATA, "%s:%lld: a line of more than %zu MiB; is it JSON lines?",
                         text_stream_path(lines->stream), lines->line + 1, lines->capacity >> 20);
        }
        lines->bytes = more;
        lines->capacity *= 2;
    }
    size_t space = lines->capacity - lines->filled;
    TRY(text_stream_read(lines->stream, lines->bytes + lines->filled, space, &got));
    lines->filled += got;
    *is_last = got < space;
    return OK;
}

static Status lines_pass(JsonLines *lines) {
    for (bool is_last = false; !is_last;) {
        TRY(lines_fill(lines, &is_last));
        char *start = lines->bytes, *end = start + lines->filled, *newline;
        while ((newline = memchr(start, '\n', (size_t)(end - start))) != NULL) {
            TRY(line_pass(lines, start, (size_t)(newline - start)));
            start = newline + 1;
        }
        lines->at = (size_t)(start - lines->bytes);
    }
    return line_pass(lines, lines->bytes + lines->at, lines->filled - lines->at);
}

Status json_documents_read(TextStream *stream, const char *field, const DocumentSink *sink) {
    JsonLines lines = {stream, field, sink, .bytes = malloc(FIRST_BYTES), .capacity = FIRST_BYTES};
    if (lines.bytes == NULL) return OUT_OF_MEMORY("lines of JSON");
    Status status = lines_pass(&lines);
    free(lines.bytes);
    return status;
}

bool json_documents_are(const uint8_t *text, size_t bytes, char *fields, size_t capacity) {
    const uint8_t *end = text + bytes, *start = json_start(text, bytes),
                  *newline = memchr(start, '\n', (size_t)(end - start));
    size_t length = (size_t)((newline == NULL ? end : newline) - start);
    bool is_array;
    json_error_t error;
    json_t *object = json_loadb((const char *)start, length, JSON_FLAGS, &error);
    fields[0] = '\0';
    if (json_is_object(object)) fields_write(object, true, fields, capacity);
    json_decref(object);
    bool begins = json_starts_objects(text, bytes, &is_array);
    return fields[0] != '\0' || (begins && (is_array || newline == NULL));
}
