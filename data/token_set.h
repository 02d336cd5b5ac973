/* TokenSet: the tokens of one file, or of several as if they were one: shards follow each other, in
 * any formats. With weights, it also says how often training reads each part (data/loader.h). */
#pragma once

#include "data/token_file.h"
#include "data/token_paths.h"
#include "data/token_text.h"

#include <stdbool.h>

typedef struct TokenSet TokenSet;

enum { TOKEN_PARTS_MAX = 64 };

/* One part: the files of an item that has a weight, or all files. */
typedef struct TokenPart {
    int64_t start, count; /* its tokens in the set */
    double weight;
    const char *path; /* for messages */
} TokenPart;

/* token_set_open: opens all files. `paths` is borrowed until it returns.
 *   Errors: those of token_file_open; STATUS_DATA for a pattern without a file, and for files of
 *   different tokenizers. Not collective. */
NODISCARD Status token_set_open(const TokenPaths *paths, TokenSet **out);

/* The same for one path or pattern. */
NODISCARD Status token_set_open_path(const char *path, TokenSet **out);
void token_set_destroy(TokenSet **set);

/* For messages: the path, or `FIRST and 3 more files`. */
const char *token_set_path(const TokenSet *set);
int64_t token_set_count(const TokenSet *set);
int token_set_files(const TokenSet *set);
const TokenFile *token_set_file(const TokenSet *set, int index);

int token_set_parts(const TokenSet *set);
const TokenPart *token_set_part(const TokenSet *set, int index);

/* The tokenizer of the files, as token_file.h says. */
int64_t token_set_vocab(const TokenSet *set);
const char *token_set_tokenizer(const TokenSet *set);
uint64_t token_set_tokenizer_hash(const TokenSet *set);
int64_t token_set_end_of_text(const TokenSet *set);
TokenizerId token_set_tokenizer_id(const TokenSet *set);

/* token_file_require_vocab for each file. Scans 256 MiB in all, spread over the files. */
NODISCARD Status token_set_require_vocab(TokenSet *set, int64_t vocab_size);

/* token_set_read: out[0..n) = tokens [start, start + n). Thread-safe. Errors: those of
 * token_file_read. */
NODISCARD Status token_set_read(const TokenSet *set, int64_t start, int64_t n, int32_t *out);
