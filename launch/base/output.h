/* A stream into a file that is written whole or not at all (core/base/replacement.h), or in place
 * where a user names a device, a pipe or a link. Two writers of one file do not wait for each
 * other: the last to finish stays. Not collective. */
#pragma once

#include "core/base/replacement.h"
#include "core/status.h"

#include <stdio.h>

typedef struct Output {
    FILE *file;
    int fd;           /* of the file, for a child process; the stream has no fileno */
    const char *path; /* borrowed */
    Replacement *new; /* NULL: written in place */
} Output;

/* Errors: STATUS_DATA where something is at `path`. */
NODISCARD Status output_check_new(const char *path);

/* Replaces what is at `path` when it is finished. Errors: STATUS_FAILURE. */
NODISCARD Status output_open(const char *path, Output *out);

/* The same where nothing may be at `path`: what is there, or comes there meanwhile, stays. Errors:
 * STATUS_DATA, too. */
NODISCARD Status output_create(const char *path, Output *out);

/* The same for a path that a user names: what is no file or a link, such as /dev/stdout, is written
 * in place. */
NODISCARD Status output_open_named(const char *path, Output *out);

/* Closes it: under its name where `status` is OK, and with nothing left where not. The first
 * failure of all. */
NODISCARD Status output_finish(Output *output, Status status);
