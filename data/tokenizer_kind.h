/* The functions that a tokenizer implements; tokenizer.c does the rest. Private to data/. */
#pragma once

#include "core/status.h"
#include "data/token_buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Tokenizer Tokenizer;

typedef struct TokenizerKind {
    /* As tokenizer_encode_part; `is_last`: no text follows, so all of it is encoded. */
    Status (*encode)(Tokenizer *tokenizer, const uint8_t *text, size_t bytes, bool is_last,
                     TokenBuffer *out, size_t *used);
    /* The bytes of a token below vocab_size. */
    const uint8_t *(*decode)(const Tokenizer *tokenizer, int64_t token, size_t *length);
    Status (*read_special)(Tokenizer *tokenizer); /* NULL: has no special tokens to read */
    void (*destroy)(Tokenizer *tokenizer);        /* frees the object, not its name */
} TokenizerKind;

/* The first member of each implementation's struct. */
struct Tokenizer {
    const TokenizerKind *kind;
    char *name;
    int64_t vocab_size;
    int32_t end_of_text;
    uint64_t hash;
};

NODISCARD Status byte_tokenizer_create(Tokenizer **out);
NODISCARD Status bpe_tokenizer_open(const char *which, Tokenizer **out);

/* tokenizer_hash of GPT-2's own vocabulary, and vocabulary_merges_hash of its list of merges. */
#define GPT2_VOCABULARY_HASH UINT64_C(0x4A9C6412F246E88F)
#define GPT2_MERGES_HASH UINT64_C(0x2C666592A61E7B87)
