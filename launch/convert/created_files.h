/* Files that belong together: all are written, or none stays. Not collective. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"

#include <jansson.h>

/* Zero-initialized: none. */
typedef struct CreatedFiles {
    struct CreatedFile *last;
    Arena arena;
} CreatedFiles;

/* Records a file that has been created. */
NODISCARD Status created_add(CreatedFiles *files, const char *path);

/* Creates and records a JSON file or a copy of a file; nothing may exist at `path`. created_json
 * takes ownership of `value`; NULL means out of memory. Errors: those of output_open_new. */
NODISCARD Status created_json(CreatedFiles *files, const char *path, json_t *value);
NODISCARD Status created_copy(CreatedFiles *files, const char *from, const char *path);

/* Removes the files. */
void created_remove(const CreatedFiles *files);

/* Forgets them. */
void created_destroy(CreatedFiles *files);
