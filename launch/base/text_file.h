/* Small text files: replace, append a line, read all or the end. Not collective. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"

#include <jansson.h>
#include <stddef.h>

/* Replaces `path` with `text`, atomically and durably (core/base/replacement.h). */
NODISCARD Status text_file_replace(const char *path, const char *text);

/* As text_file_replace, with `value` formatted by jansson's `flags`; numbers have ten digits. Takes
 * ownership of `value`; NULL means out of memory. */
NODISCARD Status text_file_replace_json(const char *path, json_t *value, size_t flags);

/* Appends `line` and a newline in one write, or after a failure nothing. Does not follow a link. */
NODISCARD Status text_file_append(const char *path, const char *line);

/* The content of a file with a final zero byte, in the arena; NULL if there is no file. Errors:
 * STATUS_FAILURE if it cannot be read; STATUS_DATA if it is not a regular file or is larger than 64
 * MiB. */
NODISCARD Status text_file_read(Arena *arena, const char *path, const char **out);

/* Parses a JSON file; the caller owns the reference *out, NULL if there is no file. Errors: those
 * of text_file_read; STATUS_DATA with line and column if it is not valid JSON or has a duplicate
 * key. */
NODISCARD Status text_file_read_json(const char *path, json_t **out);

/* The last bytes of a file, at most capacity - 1, as a string; "" if there is no file. If the file
 * is longer, the text starts after the first newline. Zero bytes become newlines, as in
 * text_file_read. Errors: as text_file_read. */
NODISCARD Status text_file_tail(const char *path, char *text, size_t capacity);
