/* Values of a config as JSON, for sweep.json and the report. */
#pragma once

#include "launch/config/field.h"

#include <jansson.h>

/* Null for NULL, and for text that is not UTF-8, which JSON cannot hold. */
json_t *json_string_or_null(const char *text);

/* A key's value as a JSON type if there is one; otherwise the text in the config. */
json_t *config_value_json(const Field *field, const Config *config);
