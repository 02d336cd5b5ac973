/* Resolve: from the merged tree to the Config, through defaults, the preset, interpolation, types
 * and checks. */
#pragma once

#include "launch/config/field.h"

/* Fills `config` from `root`, which gets a node for every default. Errors: STATUS_CONFIG with the
 * value's place. */
NODISCARD Status resolve(YamlNode *root, Config *config);

/* The checks between fields, with the place of the offending value. */
NODISCARD Status resolve_check(const YamlNode *root, const Config *config);
