/* The text behind the tokens of files: whether two files use the same tokenizer, and how many
 * bytes of text each token stands for. */
#pragma once

#include "data/token_file.h"
#include "data/tokenizer.h"

#include <stdbool.h>

/* The tokenizer that a token file or a checkpoint names; hash 0: unknown. */
typedef struct TokenizerId {
    const char *name;
    uint64_t hash;
} TokenizerId;

TokenizerId token_file_tokenizer_id(const TokenFile *file);

/* Whether the name is that of a tokenizer: neither "" nor TOKENIZER_UNKNOWN. */
bool tokenizer_is_named(const char *name);

/* The name, or for "" what convention tells of a model with vocab_size tokens: GPT-2's, or
 * TOKENIZER_UNKNOWN. */
const char *tokenizer_assumed(const char *name, int64_t vocab_size);

/* False if the two are known to differ: by their hashes or, if one has no hash, by their names. */
bool tokenizer_ids_agree(TokenizerId a, TokenizerId b);

/* Whether their ids agree, or both can be opened unchanged, and every token but the end of text has
 * the same bytes in both: the byte tokenizer and its tokenizer.json. Not collective. */
bool tokenizers_share_tokens(TokenizerId a, TokenizerId b);

/* Opens the tokenizer that data or a checkpoint names; `path`: that file, for messages. The
 * name may be one to assume. Errors: STATUS_DATA if the tokenizer is unknown, missing, or has
 * changed. Not collective. */
NODISCARD Status tokenizer_open_of(TokenizerId id, const char *path, int64_t vocab_size,
                                   Tokenizer **out);

/* (*out)[v] = bytes of text of token v, for v < vocab_size of a model; 0 for the end of text and
 * for tokens that the tokenizer does not have. The caller frees *out. Errors: those of
 * tokenizer_open_of. Not collective. */
NODISCARD Status tokenizer_text_lengths(TokenizerId id, const char *path, int64_t vocab_size,
                                        int32_t **out);
