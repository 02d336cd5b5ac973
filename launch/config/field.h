/* Field: one schema row applied: a node's value into the Config, and back to text. */
#pragma once

#include "launch/config/node.h"
#include "launch/config/schema.h"

/* Reads a node as the field's type and range into `config`; strings live in config->arena. Errors: STATUS_CONFIG with
 * the node's place. */
NODISCARD Status field_read(const Field *field, const YamlNode *node, Config *config);

/* Whether the field holds nothing: it has no default and was not given. */
bool field_is_unset(const Field *field, const Config *config);

/* Writes the value as YAML in flow style; `null` where unset. */
void field_write(const Field *field, const Config *config, FILE *file);

/* The same as a string for free(); NULL where memory is out. */
char *field_text(const Field *field, const Config *config);

/* A node as YAML in flow style. */
void node_write(const YamlNode *node, FILE *file);
