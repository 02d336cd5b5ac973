/* The output directory. */
#pragma once

#include "core/status.h"

#include <stddef.h>

/* directory_create: creates `path` and its missing parents. *made: the argument of directory_undo.
 *   Errors: STATUS_USAGE if something else is at the path, or the path is invalid; STATUS_FAILURE
 *   for a full or read-only disk. Not collective. */
NODISCARD Status directory_create(const char *path, size_t *made);

/* Removes the directories that directory_create created, as far as they are empty. */
void directory_undo(const char *path, size_t made);
