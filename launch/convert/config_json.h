/* config.json: what Hugging Face's GPT-2 has beside its weights. Each field that changes the
 * mathematics is honoured or refused by name; fields of training, generation and book-keeping are
 * passed over. Not collective. Source: github.com/huggingface/transformers,
 * models/gpt2/configuration_gpt2.py. */
#pragma once

#include "launch/convert/model_weights.h"

#include <jansson.h>

/* Reads it. *out is the caller's reference, NULL where there is no file. Errors: STATUS_DATA where
 * it is broken, or of another family than GPT-2. */
NODISCARD Status config_json_read(const char *path, json_t **out);

/* The heads that it names; 0: none. Errors: STATUS_DATA where that is no count. */
NODISCARD Status config_json_heads(const char *path, const json_t *config, int64_t *out);

/* STATUS_DATA where a field contradicts the model, or asks for what this model does not compute. */
NODISCARD Status config_json_check(const char *path, const json_t *config,
                                   const ModelConfig *model);

/* For a config.json that weights without an output layer of their own come beside: STATUS_DATA
 * where it lacks a size, for from_pretrained would then take GPT-2's, or where wte is not the
 * output layer. */
NODISCARD Status config_json_check_whole(const char *path, const json_t *config);

/* Whether the output layer is wte, as it is unless the config says otherwise. */
bool config_json_is_tied(const json_t *config);

/* The fields that nothing is known of, escaped and separated by commas, into `out`; false: none. */
bool config_json_unknown(const json_t *config, char *out, size_t capacity);
