/* An output stream to a file that is replaced as a whole (core/base/replacement.h), or written in
 * place if the user names a device, a pipe or a link. Two writers of one file do not exclude each
 * other: the last to finish wins. Not collective. */
#pragma once

#include "core/base/replacement.h"
#include "core/status.h"

#include <stdio.h>

typedef struct Output {
    FILE *file;
    int fd;           /* for a child process; the stream has no fileno */
    const char *path; /* borrowed */
    Replacement *new; /* NULL: written in place */
} Output;

/* Errors: STATUS_DATA if anything exists at `path`. */
NODISCARD Status output_check_new(const char *path);

/* Replaces `path` when it is finished. Errors: STATUS_FAILURE. */
NODISCARD Status output_open(const char *path, Output *out);

/* As output_open, but nothing may exist at `path`: a file there, or one that appears meanwhile, is
 * kept. Errors: STATUS_DATA, too. */
NODISCARD Status output_create(const char *path, Output *out);

/* As output_open, for a path that the user names: a link, or anything but a regular file, such as
 * /dev/stdout, is written in place. */
NODISCARD Status output_open_named(const char *path, Output *out);

/* Whether output_open_named may write there: replacement_check for a file. */
NODISCARD Status output_check_named(const char *path, const char *const *starts, const char *what);

/* Closes the stream. Renames the file if `status` is OK, otherwise removes it. Returns the first
 * failure. */
NODISCARD Status output_finish(Output *output, Status status);
