/* Rank files, as tiktoken's: base64 of a token's bytes, a space, its rank, one token per line. Two
 * tokens merge if their concatenation is a token, and the rank of the merge is that token's id. */
#pragma once

#include "data/bpe_definition.h"

/* rank_file_read: reads `text`, the content of the file `path`, which it changes. `encoding`: the
 * one that the user names, or NULL.
 *   Errors: STATUS_DATA naming file and line. Not collective. */
NODISCARD Status rank_file_read(const char *path, char *text, size_t size,
                                const KnownEncoding *encoding, BpeDefinition *out);
