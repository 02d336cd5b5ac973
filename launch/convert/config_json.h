/* config.json: the config of a GPT-2 of Hugging Face. Each field that changes the mathematics is
 * honoured or refused by name; fields of training, generation and metadata are ignored. Not
 * collective. Source: github.com/huggingface/transformers, models/gpt2/configuration_gpt2.py. */
#pragma once

#include "launch/convert/model_weights.h"

#include <jansson.h>

/* Reads the file. The caller owns the reference *out, NULL if there is no file. Errors: STATUS_DATA
 * if it is invalid, or of another family than GPT-2. */
NODISCARD Status config_json_read(const char *path, json_t **out);

/* The number of heads in it; 0: not given. Errors: STATUS_DATA if it is not a count. */
NODISCARD Status config_json_heads(const char *path, const json_t *config, int64_t *out);

/* STATUS_DATA if a field contradicts the model, or requires a computation that this project does
 * not support. */
NODISCARD Status config_json_check(const char *path, const json_t *config,
                                   const ModelConfig *model);

/* Checks the config.json of weights without a separate output layer: STATUS_DATA if it lacks a
 * size, because from_pretrained would then use GPT-2's, or if wte is not the output layer. */
NODISCARD Status config_json_check_whole(const char *path, const json_t *config);

/* Whether the output layer is wte, which is the default. */
bool config_json_is_tied(const json_t *config);

/* Writes the unknown fields, escaped and separated by commas, to `out`; false: none. */
bool config_json_unknown(const json_t *config, char *out, size_t capacity);
