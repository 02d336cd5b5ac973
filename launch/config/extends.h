/* Extends: a file and all it builds on, merged into one tree. */
#pragma once

#include "launch/config/node.h"

/* Reads `path` and, before it, the files its `extends` names, left to right, each relative to the
 * file that names it; lays them on `root`, an empty map. Every file's keys are checked. Errors:
 * STATUS_CONFIG; a cycle names its chain. */
NODISCARD Status extends_load(Arena *arena, const char *path, YamlNode *root);

/* One tree that may not extend anything (`what` it is, for the message), checked and laid on
 * `root`. */
NODISCARD Status extends_lay(Arena *arena, YamlNode *tree, const char *what, YamlNode *root);
