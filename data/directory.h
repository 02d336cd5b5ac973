/* The directory that output goes to. */
#pragma once

#include "core/status.h"

#include <stddef.h>

/* directory_create: makes `path` and what is missing above it. *made: for directory_undo.
 *   Errors: STATUS_USAGE where it is another thing than a directory or the path is to blame;
 *   STATUS_FAILURE where the machine is (a full or read-only disk). Not collective. */
NODISCARD Status directory_create(const char *path, size_t *made);

/* Removes again those directories that directory_create made and that are empty. */
void directory_undo(const char *path, size_t made);
