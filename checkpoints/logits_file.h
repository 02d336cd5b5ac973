/* LogitsFile: what a model predicts, for a comparison with other programs: an HDF5 file that is
 * complete or absent.
 *
 *   logits   (N, T, V) f32   row (n, t) predicts the token after tokens[n, t]
 *   tokens   (N, T) i32
 *   targets  (N, T) i32      the token after it; LOGITS_NO_TARGET: not scored
 *   step                     attribute of the root group, i64
 *   text/model, text/data    what was evaluated, on what
 *
 * It begins with a user block of 512 bytes, "hourglass logits", by which it is recognized. HDF5
 * writes the structure of the file; the data is written to its offsets as it comes, so memory holds
 * one window. Not collective, and not thread-safe: see checkpoint.h. */
#pragma once

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

enum { LOGITS_NO_TARGET = -1 };

typedef struct LogitsHeader {
    int64_t N, T, V; /* windows, positions, vocabulary */
    int64_t step;
    const char *model, *data;
} LogitsHeader;

typedef struct LogitsFile LogitsFile;

/* The bytes of the three datasets. Errors: STATUS_USAGE if they overflow. */
NODISCARD Status logits_file_bytes(const LogitsHeader *header, size_t *out);

/* Begins a file that replaces `path`, which must outlive it. Errors: STATUS_DATA if something other
 * than a file of logits is there; STATUS_FAILURE if it cannot be written. */
NODISCARD Status logits_file_create(const char *path, const LogitsHeader *header, LogitsFile **out);

/* Writes window n: tokens and targets (T), logits (T, V). Errors: STATUS_FAILURE. */
NODISCARD Status logits_file_write(LogitsFile *file, int64_t n, const int32_t *tokens,
                                   const int32_t *targets, const float *logits);

/* Completes the file if `status` is OK, otherwise removes it; frees. Returns the first failure.
 * NULL-safe. */
NODISCARD Status logits_file_finish(LogitsFile **file, Status status);
