/* Small text files: replaced whole, appended to by the line, read whole or from the end. Not
 * collective. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"

#include <jansson.h>
#include <stddef.h>

/* Writes `text` as `path`, whole or not at all, and durable (core/base/replacement.h). */
NODISCARD Status text_file_replace(const char *path, const char *text);

/* The same with `value` as jansson's `flags` have it; numbers keep ten digits. Takes the value
 * over; NULL is memory that ran out. */
NODISCARD Status text_file_replace_json(const char *path, json_t *value, size_t flags);

/* Appends `line` and a newline in one write. A link is not followed. */
NODISCARD Status text_file_append(const char *path, const char *line);

/* The whole file, with a zero behind it, in the arena; NULL where there is none. Errors:
 * STATUS_FAILURE where it cannot be read; STATUS_DATA where it is no regular file or larger than 64
 * MiB. */
NODISCARD Status text_file_read(Arena *arena, const char *path, const char **out);

/* A JSON text; *out is the caller's reference, NULL where there is no file. Errors: those of
 * text_file_read; STATUS_DATA with line and column where it is no JSON, or has a key twice. */
NODISCARD Status text_file_read_json(const char *path, json_t **out);

/* The last bytes of a file, at most room - 1, as a string; "" where there is no file. Where its
 * beginning is cut off, it begins after the first newline. Errors: as text_file_read. */
NODISCARD Status text_file_tail(const char *path, char *text, size_t room);
