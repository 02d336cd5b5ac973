/* Interpolation: `${a.b}` is the text of another key, `${env:NAME}` of an environment variable,
 * `$${` is `${`. */
#pragma once

#include "launch/config/node.h"

/* Replaces the text of a scalar, and of all scalars below a list or map, by its interpolated one.
 * Keys are looked up below `root`. Errors: STATUS_CONFIG with the place of the text; a cycle names
 * its chain. */
NODISCARD Status interpolate(Arena *arena, const YamlNode *root, YamlNode *node);

/* Whether a text, or one below the node, holds a `${`. */
bool is_interpolated(const YamlNode *node);
