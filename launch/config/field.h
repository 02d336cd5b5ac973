/* Field: applies one row of the schema: reads a node's value into the Config, and writes it as
 * text. */
#pragma once

#include "launch/config/node.h"
#include "launch/config/schema.h"

/* Reads a node as the field's type, checks its range, and stores it in `config`; strings are in
 * config->arena. Errors: STATUS_CONFIG with the position of the node. */
NODISCARD Status field_read(const Field *field, const YamlNode *node, Config *config);

/* The values of an enum key as `a|b|c`, or the name of its type in the reference page. */
void field_write_type(const Field *field, FILE *file);

/* Whether the field is unset: it has no default and was not given. */
bool field_is_unset(const Field *field, const Config *config);

/* The word for a special number of this field, `auto` or `all`; NULL for other numbers. */
const char *field_word(const Field *field, int64_t value);

/* Writes the value as YAML in flow style; `null` if unset. */
void field_write(const Field *field, const Config *config, FILE *file);

/* The same as a string for free(); NULL if memory is out. */
char *field_text(const Field *field, const Config *config);

/* Whether a field may differ between the saved config and the current one. */
typedef bool (*FieldMayDiffer)(const Field *field, const Config *saved, const Config *now);

/* Lists the fields that differ but must match: "KEY (saved 2, now 3), KEY ...". *differences is for
 * free(), also after a failure. */
NODISCARD Status fields_compare(const Config *saved, const Config *now, FieldMayDiffer may_differ,
                                char **differences, int *count);

/* Writes a node as YAML in flow style. */
void node_write(const YamlNode *node, FILE *file);
