/* A YAML file as a tree. */
#pragma once

#include "launch/config/node.h"

/* Reads a regular file of at most 1 MiB. `from` is the position that names it (the value of
 * `extends`), or a position with line 0; errors of opening and reading are reported there. Errors:
 * STATUS_CONFIG. */
NODISCARD Status yaml_read_file(Arena *arena, const char *path, Place from, YamlNode **out);
