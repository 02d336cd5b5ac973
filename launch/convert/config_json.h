/* config.json of a model of Hugging Face. Each field that changes the mathematics is read or
 * refused by name; fields of training, generation and metadata are ignored. Not collective. Source:
 * github.com/huggingface/transformers, models/NAME/configuration_NAME.py. */
#pragma once

#include "launch/convert/architectures.h"

/* Reads the file and finds its architecture. The caller owns the reference *out, NULL if there is
 * no file. Errors: STATUS_DATA if it is invalid, or of an unknown architecture. */
NODISCARD Status config_json_read(const char *path, json_t **out,
                                  const Architecture **architecture);

/* The model of a config. *model holds the sizes that are known, otherwise 0. STATUS_DATA if a field
 * contradicts them, requires a computation that this project does not support, or is missing. */
NODISCARD Status config_json_model(const char *path, const json_t *config,
                                   const Architecture *architecture, ModelConfig *model);

/* Writes the unknown fields, escaped and separated by commas, to `out`; false: none. */
bool config_json_unknown(const json_t *config, const Architecture *architecture, char *out,
                         size_t capacity);
