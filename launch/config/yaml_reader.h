/* Parses YAML text to YamlNode with libyaml's event API, with a limit on every size.
 *
 * Refused, with the position: text that is not UTF-8 or holds NUL, control characters or line
 * separators other than a line feed; aliases, anchors and tags; a second document; duplicate keys;
 * keys that are lists or maps; more than 16 levels; more than 10,000 keys and values. */
#pragma once

#include "launch/config/node.h"

enum { YAML_MAX_BYTES = 1 << 20, YAML_MAX_DEPTH = 16, YAML_MAX_VALUES = 10000 };

/* Parses source->text from byte `skip` (0 except for `key=VALUE`) into a tree. An empty text gives
 * a null scalar. Errors: STATUS_CONFIG. */
NODISCARD Status yaml_read(Arena *arena, const Source *source, size_t skip, YamlNode **out);
