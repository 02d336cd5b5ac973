/* Lists of token files in a config. */
#pragma once

#include "launch/config/node.h"
#include "launch/config/schema.h"

/* path_list_read: reads a text, a list of texts or, for FIELD_MIXTURE, a list of maps with path and
 * weight. The result is stored in config->arena.
 *   Errors: STATUS_CONFIG with the position; STATUS_OUT_OF_MEMORY. */
NODISCARD Status path_list_read(const Field *field, const YamlNode *node, Config *config,
                                TokenPaths *out);
