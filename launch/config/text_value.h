/* The texts of a config. */
#pragma once

#include "launch/config/node.h"
#include "launch/config/schema.h"

/* text_value_read: reads a node as a text, which is stored in config->arena. Texts are used in file
 * names, lines of scripts and messages, so control characters are refused.
 *   Errors: STATUS_CONFIG with the position; STATUS_OUT_OF_MEMORY. */
NODISCARD Status text_value_read(const Field *field, const YamlNode *node, Config *config,
                                 const char **out);
