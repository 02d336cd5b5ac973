/* Values of a JSON file with their names for messages, such as `model.merges[3]`. Errors are
 * STATUS_DATA and begin with the name. Not collective. */
#pragma once

#include "core/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct JsonNode {
    json_t *value; /* borrowed; NULL: absent */
    char name[128];
} JsonNode;

NODISCARD Status node_refuse(const JsonNode *node, const char *reason);

JsonNode node_member(const JsonNode *object, const char *key);
JsonNode node_element(const JsonNode *array, size_t i);

/* Whether a member is the text `text`; `fallback` if it is absent. */
bool node_is_text(const JsonNode *object, const char *key, const char *text, bool fallback);

/* Whether a member is true; `fallback` if it is absent. */
bool node_flag(const JsonNode *object, const char *key, bool fallback);

/* Requires that members are absent, null, false, 0 or "". `keys` ends with NULL. */
NODISCARD Status node_all_off(const JsonNode *object, const char *const *keys);

/* Requires that an object has no members but these. `keys` ends with NULL. */
NODISCARD Status node_all_known(const JsonNode *object, const char *const *keys);
