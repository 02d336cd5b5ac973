/* Small text files: replaced whole, appended to by the line, read whole or from the end. Not collective. */
#pragma once

#include "core/arena.h"
#include "core/status.h"

#include <jansson.h>
#include <stddef.h>

/* Writes `text` as `path`, whole or not at all, and durable (launch/output.h). */
NODISCARD Status text_file_replace(const char *path, const char *text);

/* The same with `value` as jansson's `flags` have it; numbers keep ten digits. Takes the value over; NULL is memory
 * that ran out. */
NODISCARD Status text_file_replace_json(const char *path, json_t *value, size_t flags);

/* Appends `line` and a newline in one write. */
NODISCARD Status text_file_append(const char *path, const char *line);

/* The whole file, with a zero behind it, from the arena; NULL where it cannot be read or is larger than 64 MiB. */
const char *text_file_read(Arena *arena, const char *path);

/* The last bytes of a file, at most room - 1, as a string; "" where there is no file. Where its beginning is cut off,
 * it begins after the first newline. */
void text_file_tail(const char *path, char *text, size_t room);
