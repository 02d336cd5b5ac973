/* Interpolation: `${a.b}` is the text of another key, `${env:NAME}` that of an environment
 * variable; `$${` stands for `${`. */
#pragma once

#include "launch/config/node.h"

/* Interpolates the text of a scalar, or of all scalars below a list or map. Looks up keys below
 * `root`. Errors: STATUS_CONFIG with the position of the text; a cycle names its chain. */
NODISCARD Status interpolate(Arena *arena, const YamlNode *root, YamlNode *node);

/* Whether a text, or one below the node, contains `${`. */
bool is_interpolated(const YamlNode *node);
