/* InputList: the files that a user names, directly, by their directory, or in a list. Not
 * collective. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct InputPath {
    char *path;    /* "-": standard input */
    bool is_named; /* by the user, not found in a directory */
} InputPath;

/* Initialize it with {0}. */
typedef struct InputList {
    size_t count, capacity;
    InputPath *items;
} InputList;

void input_list_free(InputList *list);

/* input_list_add: adds a file, or the files below a directory in the order of their names, byte by
 * byte. `include` selects the files of directories: patterns as in a shell, separated by commas;
 * one with a slash is for the path below the directory, others are for the name. Names that begin
 * with a dot are left out. Links are followed. Errors: STATUS_DATA for a directory that is not
 * readable, contains itself by a link, or holds no such file. A file is not opened. */
NODISCARD Status input_list_add(InputList *list, const char *path, const char *include);

/* input_list_add_from: the same for each line of a file. Empty lines are left out. Relative paths
 * are relative to the working directory.
 *   Errors: STATUS_DATA for a file that is missing, larger than 1 GiB, or without a line. */
NODISCARD Status input_list_add_from(InputList *list, const char *path, const char *include);
