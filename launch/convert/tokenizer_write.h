/* A tokenizer as tokenizer.json of Hugging Face's `tokenizers`. Not collective. */
#pragma once

#include "data/tokenizer.h"

#include <jansson.h>

/* The file of a tokenizer of bytes, or of a byte-pair encoding with GPT-2's pattern whose tokens
 * are numbered in the order of their merges; the caller owns *out. The end of text is its only
 * special token. Errors: STATUS_UNSUPPORTED if a token is not a merge of two earlier ones,
 * STATUS_OUT_OF_MEMORY. */
NODISCARD Status tokenizer_json_make(const Tokenizer *tokenizer, json_t **out);
