/* A vocabulary in two files: encoder.json + vocab.bpe (OpenAI's GPT-2) or vocab.json + merges.txt
 * (Hugging Face's copy). The first holds the tokens and their ids, the second one merge per line;
 * its number is the rank. */
#pragma once

#include "data/bpe_definition.h"

/* merge_list_read: `tokens` is the content of tokens_path, `merges` that of merges_path, which it
 * changes. `encoding`: the one that the user names, or NULL.
 *   Errors: STATUS_DATA naming file and line. Not collective. */
NODISCARD Status merge_list_read(const char *tokens_path, const char *tokens, size_t size,
                                 const char *merges_path, char *merges,
                                 const KnownEncoding *encoding, BpeDefinition *out);
