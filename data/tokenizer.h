/* Tokenizers: text to tokens and back.
 *
 *   byte   a token is a byte; 256 is the end of text; vocabulary 257
 *   gpt2   GPT-2's byte-pair encoding: its pattern (gpt2_pattern.h), then merges by rank (bpe.h);
 *          equal to tiktoken's encode_ordinary, token for token; vocabulary 50257, end of text
 *          50256
 *
 * Text is bytes. Special tokens are never read from text: `<|endoftext|>` in a file is twelve
 * ordinary characters and a bracket. Bytes that are not UTF-8 are kept: a run of them is a piece of
 * its own, so that decoding always gives back the exact input (where tiktoken, which takes Unicode
 * strings, cannot encode it at all). */
#pragma once

#include "core/status.h"
#include "data/token_buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Tokenizer Tokenizer;

/* Token files without a header name no tokenizer: they are GPT-2's by convention. */
#define TOKENIZER_OF_NAMELESS "gpt2"
enum { VOCAB_OF_NAMELESS = 50257 };

/* tokenizer_open: `which` is "byte", "gpt2" or a path to a vocabulary (vocabulary.h: a directory or
 * one of its files; it is used with GPT-2's pattern). The vocabulary of "gpt2" is looked for in
 * $HOURGLASS_VOCAB (a directory or a file), then in build/vocab, then in build/vocab beside the
 * running program; scripts/fetch_gpt2_vocab.sh puts it there.
 *   Errors: STATUS_DATA where it is missing or wrong. Not collective. */
NODISCARD Status tokenizer_open(const char *which, Tokenizer **out);
void tokenizer_destroy(Tokenizer **tokenizer);

/* The name by which tokenizer_open finds it again: "byte", "gpt2" (whatever path GPT-2's vocabulary
 * came from), or the vocabulary's path. */
const char *tokenizer_name(const Tokenizer *tokenizer);
int64_t tokenizer_vocab_size(const Tokenizer *tokenizer);
int32_t tokenizer_end_of_text(const Tokenizer *tokenizer);

/* Equal for tokenizers with the same tokens; token files carry it. */
uint64_t tokenizer_hash(const Tokenizer *tokenizer);

/* tokenizer_encode: appends the tokens of text[0..bytes).
 *   Errors: STATUS_FAILURE without memory. Not collective; one thread at a time for each tokenizer
 *   (it has a cache). */
NODISCARD Status tokenizer_encode(Tokenizer *tokenizer, const void *text, size_t bytes,
                                  TokenBuffer *out);

/* tokenizer_encode_part: the same for text that goes on: stops before a piece that could look
 * otherwise with what comes next. *used: how many bytes were encoded; the caller gives the rest
 * again, with more behind it. 0 <= *used < bytes. */
NODISCARD Status tokenizer_encode_part(Tokenizer *tokenizer, const void *text, size_t bytes,
                                       TokenBuffer *out, size_t *used);

/* tokenizer_decode: the bytes of one token, valid as long as the tokenizer. The end of text decodes
 * to its name.
 *   Errors: STATUS_DATA for a token that is not in the vocabulary. Not collective. */
NODISCARD Status tokenizer_decode(const Tokenizer *tokenizer, int64_t token, const uint8_t **bytes,
                                  size_t *length);
