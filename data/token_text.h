/* What the numbers in a token file stand for: whether two files mean the same, and how much text a
 * token is. */
#pragma once

#include "data/token_file.h"

#include <stdbool.h>

/* How a token file or a checkpoint names its tokenizer: "" and 0 where it does not say. */
typedef struct TokenizerId {
    const char *name;
    uint64_t hash;
} TokenizerId;

TokenizerId token_file_tokenizer_id(const TokenFile *file);

/* False where the two are known to be different: by their hashes, or by their names where one has
 * no hash. */
bool tokenizer_ids_agree(TokenizerId a, TokenizerId b);

/* (*out)[v] = bytes of text that token v stands for, v < vocab_size, a model's; 0 for the end of
 * text and for tokens that the tokenizer does not have. A file that names no tokenizer is taken for
 * GPT-2's where vocab_size is as large, as everywhere. For free().
 * Errors: STATUS_DATA where the tokenizer is not known, is not there, or is another one by now. Not
 * collective. */
NODISCARD Status token_file_text_lengths(const TokenFile *file, int64_t vocab_size, int32_t **out);
