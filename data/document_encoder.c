#include "data/document_encoder.h"

#include "core/base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 2 << 20 };

struct DocumentEncoder {
    Tokenizer *tokenizer;
    TokensFn take;
    void *context;
    TokenBuffer tokens;
    size_t filled;
    uint8_t buffer[BUFFER_BYTES];
};

Status document_encoder_create(Tokenizer *tokenizer, TokensFn take, void *context,
                               DocumentEncoder **out) {
    DocumentEncoder *e = *out = calloc(1, sizeof *e);
    if (e == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to encode text");
    e->tokenizer = tokenizer;
    e->take = take;
    e->context = context;
    return OK;
}

void document_encoder_destroy(DocumentEncoder **encoder) {
    if (*encoder == NULL) return;
    token_buffer_free(&(*encoder)->tokens);
    free(*encoder);
    *encoder = NULL;
}

/* Encodes the complete pieces in the buffer, or all of it if no text follows. */
static Status buffer_encode(DocumentEncoder *e, bool is_last) {
    size_t used = e->filled;
    e->tokens.count = 0;
    if (!is_last) {
        TRY(tokenizer_encode_part(e->tokenizer, e->buffer, e->filled, &e->tokens, &used));
        if (used == 0) used = utf8_cut(e->buffer, e->filled);
    }
    if (is_last || e->tokens.count == 0)
        TRY(tokenizer_encode(e->tokenizer, e->buffer, used, &e->tokens));
    e->filled -= used;
    memmove(e->buffer, e->buffer + used, e->filled);
    return e->take(e->context, &e->tokens);
}

/* A full buffer waits for the next part, because it may be the end of the text. */
Status document_encoder_part(DocumentEncoder *e, const uint8_t *text, size_t bytes) {
    while (bytes > 0) {
        if (e->filled == BUFFER_BYTES) TRY(buffer_encode(e, false));
        size_t space = BUFFER_BYTES - e->filled, some = bytes < space ? bytes : space;
        memcpy(e->buffer + e->filled, text, some);
        e->filled += some;
        text += some;
        bytes -= some;
    }
    return OK;
}

Status document_encoder_end(DocumentEncoder *e) { return buffer_encode(e, true); }
