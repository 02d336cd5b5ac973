/* A file that is written whole or not at all: it grows as PATH.new, is synced, and takes its name at the end. A second
 * writer of the same file waits for the first; what a killed one left behind is written over. Not collective. */
#pragma once

#include "core/status.h"

#include <stdio.h>

typedef struct Output {
    FILE *file;
    const char *path; /* borrowed */
    char *aside;      /* NULL: written in place */
} Output;

/* Replaces what is at `path` when it is finished. Errors: STATUS_FAILURE. */
NODISCARD Status output_open(const char *path, Output *out);

/* The same for a path that a user names: what is no file or a link, such as /dev/stdout, is written in place. */
NODISCARD Status output_open_named(const char *path, Output *out);

/* Closes it: under its name where `status` is OK, and with nothing left where not. The first failure of all. */
NODISCARD Status output_finish(Output *output, Status status);
