/* Extends: merges a file and all files that it extends into one tree. */
#pragma once

#include "launch/config/node.h"

/* Reads the files that the `extends` of `path` names, left to right, each relative to the file that
 * names it, and then `path` itself; merges them into `root`, an empty map. Checks the keys of every
 * file. Errors: STATUS_CONFIG; a cycle names its chain. */
NODISCARD Status extends_load(Arena *arena, const char *path, YamlNode *root);

/* Checks one tree that may not extend anything (`what` names it in the message) and merges it into
 * `root`. */
NODISCARD Status extends_lay(Arena *arena, YamlNode *tree, const char *what, YamlNode *root);
