/* Resolve: converts the merged tree to the Config: defaults, the preset, interpolation, types and
 * checks. */
#pragma once

#include "launch/config/field.h"

/* Fills `config` from `root`, in which every default becomes a node. Errors: STATUS_CONFIG with the
 * position of the value. */
NODISCARD Status resolve(YamlNode *root, Config *config);

/* Checks that involve several fields; errors have the position of the offending value. */
NODISCARD Status resolve_check(const YamlNode *root, const Config *config);
