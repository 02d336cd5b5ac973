/* TextStream: the bytes of a file, a pipe or standard input, from the first to the last. Content
 * that is compressed with gzip or zstd is decompressed; its first bytes decide, not its name.
 * Memory does not grow with the file. Not collective; one thread at a time per stream. */
#pragma once

#include "core/status.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TextStream TextStream;

enum { TEXT_HEAD_BYTES = 4096, TEXT_UNKNOWN_SIZE = -1 };

/* text_stream_open: `path` is borrowed; "-" is standard input. A pipe without a writer is waited
 * for. *interrupted: set by a signal handler; it ends each read and each wait. NULL: nothing does.
 *   Errors: STATUS_DATA if it is missing, not readable, or a directory; those of text_stream_read
 *   for the first bytes. */
NODISCARD Status text_stream_open(const char *path, const volatile sig_atomic_t *interrupted,
                                  TextStream **out);

/* The same for a regular file that is open: `fd` is borrowed and keeps its position; `path` is for
 * messages. */
NODISCARD Status text_stream_of_file(int fd, const char *path,
                                     const volatile sig_atomic_t *interrupted, TextStream **out);
void text_stream_close(TextStream **stream);

/* The path, or "standard input". */
const char *text_stream_path(const TextStream *stream);

/* The size of a regular file; TEXT_UNKNOWN_SIZE for a pipe and for standard input. */
int64_t text_stream_file_bytes(const TextStream *stream);
bool text_stream_is_compressed(const TextStream *stream);

/* The first bytes, decompressed: at most TEXT_HEAD_BYTES, fewer only if there are no more. Valid
 * until the first text_stream_read. */
const uint8_t *text_stream_head(const TextStream *stream, size_t *bytes);

/* text_stream_read: the next `capacity` bytes; fewer only at the end. Bytes that were appended to a
 * regular file since it was opened are not read.
 *   Errors: STATUS_DATA if compressed data is damaged or truncated, or if the file has become
 *   shorter; STATUS_FAILURE if it cannot be read, or after an interruption. */
NODISCARD Status text_stream_read(TextStream *stream, void *out, size_t capacity, size_t *got);

/* Skips bytes of text, or all that are left; those of an uncompressed file are not read. */
NODISCARD Status text_stream_skip(TextStream *stream, int64_t bytes);

/* Bytes of the file (not of the text) that have been read. */
int64_t text_stream_position(const TextStream *stream);
