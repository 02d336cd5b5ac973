/* Field: one schema row applied: a node's value into the Config, and back to text. */
#pragma once

#include "launch/config/node.h"
#include "launch/config/schema.h"

/* Reads a node as the field's type and range into `config`; strings live in config->arena. Errors:
 * STATUS_CONFIG with the node's place. */
NODISCARD Status field_read(const Field *field, const YamlNode *node, Config *config);

/* Whether the field holds nothing: it has no default and was not given. */
bool field_is_unset(const Field *field, const Config *config);

/* The word that a number of this field stands for, `auto` or `all`; NULL where it is just a
 * number. */
const char *field_word(const Field *field, int64_t value);

/* Writes the value as YAML in flow style; `null` where unset. */
void field_write(const Field *field, const Config *config, FILE *file);

/* The same as a string for free(); NULL where memory is out. */
char *field_text(const Field *field, const Config *config);

/* Whether a field may differ between the config that was saved and that of now. */
typedef bool (*FieldMayDiffer)(const Field *field, const Config *saved, const Config *now);

/* Lists the fields in which the two differ though they may not: "KEY (saved 2, now 3), KEY ...".
 * *differences is for free(), also after a failure. */
NODISCARD Status fields_compare(const Config *saved, const Config *now, FieldMayDiffer may_differ,
                                char **differences, int *count);

/* A node as YAML in flow style. */
void node_write(const YamlNode *node, FILE *file);
