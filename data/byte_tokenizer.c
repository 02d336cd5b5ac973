/* The byte tokenizer: each byte is a token. */
#include "data/tokenizer_kind.h"

#include <stdlib.h>

enum { END_OF_TEXT = 256 };

static const char end_of_text_text[] = "<|endoftext|>";

typedef struct ByteTokenizer {
    Tokenizer base;
    uint8_t every[256]; /* storage for decoded bytes */
} ByteTokenizer;

static Status byte_encode(Tokenizer *tokenizer, const uint8_t *text, size_t bytes, bool is_last,
                          TokenBuffer *out, size_t *used) {
    (void)tokenizer, (void)is_last;
    TRY(token_buffer_reserve(out, bytes));
    for (size_t i = 0; i < bytes; i++) out->tokens[out->count + i] = text[i];
    out->count += bytes;
    *used = bytes;
    return OK;
}

static const uint8_t *byte_decode(const Tokenizer *tokenizer, int64_t token, size_t *length) {
    *length = token == END_OF_TEXT ? sizeof end_of_text_text - 1 : 1;
    if (token == END_OF_TEXT) return (const uint8_t *)end_of_text_text;
    return &((const ByteTokenizer *)tokenizer)->every[token];
}

static void byte_destroy(Tokenizer *tokenizer) { free(tokenizer); }

static const TokenizerKind byte_kind = {byte_encode, byte_decode, NULL, byte_destroy};

Status byte_tokenizer_create(Tokenizer **out) {
    ByteTokenizer *t = calloc(1, sizeof *t);
    if (t == NULL) return OUT_OF_MEMORY("the tokenizer byte");
    for (int byte = 0; byte < 256; byte++) t->every[byte] = (uint8_t)byte;
    /* There is only one byte tokenizer, so its hash is a constant: "bytes257" in ASCII. */
    t->base =
        (Tokenizer){&byte_kind, NULL, END_OF_TEXT + 1, END_OF_TEXT, UINT64_C(0x6279746573323537)};
    *out = &t->base;
    return OK;
}
