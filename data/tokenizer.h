/* Tokenizers: convert text to tokens and back.
 *
 *   byte   a token is a byte; 256 is the end of text; vocabulary 257
 *   gpt2   GPT-2's byte-pair encoding; equal to tiktoken's encode_ordinary, token for token;
 *          vocabulary 50257, end of text 50256
 *   a path a byte-pair encoding from files (bpe_files.h): text is cut into pieces
 * (pre_tokenizer.h), then bytes are merged by rank (bpe.h)
 *
 * Text is bytes. Special tokens are read from text only on request: otherwise `<|endoftext|>` in a
 * file is twelve ordinary characters and a bracket. Bytes that are not UTF-8 are preserved: a run
 * of them is one piece, so decoding restores the exact input, or its NFC if the tokenizer
 * normalizes. (tiktoken takes Unicode strings and cannot encode such bytes.) */
#pragma once

#include "core/status.h"
#include "data/token_buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Tokenizer Tokenizer;

/* nanoGPT's token files and llm.c's of uint16 name no tokenizer (""). By convention it is GPT-2's,
 * if the model has its vocabulary, which is often padded. */
#define TOKENIZER_OF_NAMELESS "gpt2"
enum { VOCAB_OF_NAMELESS = 50257, PADDED_VOCAB_OF_NAMELESS = 50304 };

/* The name of a tokenizer that neither a name nor a convention tells. */
#define TOKENIZER_UNKNOWN "unknown"

/* tokenizer_open: `which` is "byte", "gpt2" or what bpe_files_load accepts: a file, a directory or
 * FILE:ENCODING. For "gpt2" the search order is $HOURGLASS_VOCAB (a directory or a file),
 * build/vocab, and build/vocab beside the running program. scripts/fetch_gpt2_vocab.sh downloads
 * the vocabulary to build/vocab. Errors: STATUS_DATA if it is missing or invalid. Not collective.
 */
NODISCARD Status tokenizer_open(const char *which, Tokenizer **out);
void tokenizer_destroy(Tokenizer **tokenizer);

/* The name that tokenizer_open accepts for it: "byte", "gpt2" (whatever the path of GPT-2's
 * vocabulary), or the absolute path of the vocabulary. */
const char *tokenizer_name(const Tokenizer *tokenizer);
int64_t tokenizer_vocab_size(const Tokenizer *tokenizer);
int32_t tokenizer_end_of_text(const Tokenizer *tokenizer);

/* Differs for tokenizers whose tokens differ; stored in token files. It is a hash of the vocabulary
 * and of what else determines the tokens: pattern, normalization, the merges of a tokenizer.json.
 */
uint64_t tokenizer_hash(const Tokenizer *tokenizer);

/* Reads special tokens from text from now on. Errors: STATUS_USAGE if the tokenizer has none to
 * read; STATUS_OUT_OF_MEMORY. */
NODISCARD Status tokenizer_read_special(Tokenizer *tokenizer);

/* tokenizer_encode: appends the tokens of text[0..bytes).
 *   Errors: STATUS_OUT_OF_MEMORY. Not collective; one thread at a time per tokenizer (it has a
 * cache). */
NODISCARD Status tokenizer_encode(Tokenizer *tokenizer, const void *text, size_t bytes,
                                  TokenBuffer *out);

/* tokenizer_encode_part: encodes text that continues. Stops before a piece that the following text
 * could change. *used = the number of bytes encoded; the caller passes the rest again with more
 * text after it. 0 <= *used <= bytes. */
NODISCARD Status tokenizer_encode_part(Tokenizer *tokenizer, const void *text, size_t bytes,
                                       TokenBuffer *out, size_t *used);

/* tokenizer_decode: the bytes of one token, valid as long as the tokenizer. The end of text decodes
 * to its name, an unused id to no bytes.
 *   Errors: STATUS_DATA for a token outside the vocabulary. Not collective. */
NODISCARD Status tokenizer_decode(const Tokenizer *tokenizer, int64_t token, const uint8_t **bytes,
                                  size_t *length);
