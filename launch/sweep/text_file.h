/* Small text files of a study: replaced whole, appended to by the line, read from the end. Not collective. */
#pragma once

#include "core/status.h"

#include <stddef.h>
#include <stdio.h>

/* Writes `text` as `path`, whole or not at all, and durable: a temporary beside it, fsync, rename. */
NODISCARD Status text_file_replace(const char *path, const char *text);

/* Appends `line` and a newline in one write. */
NODISCARD Status text_file_append(const char *path, const char *line);

/* The last bytes of a file, at most room - 1, as a string; "" where there is no file. Where its beginning is cut off,
 * it begins after the first newline. */
void text_file_tail(const char *path, char *text, size_t room);

/* What is written by the shell's rules as one word: as it is where that is safe, otherwise in single quotes. */
void shell_word(const char *word, FILE *file);
