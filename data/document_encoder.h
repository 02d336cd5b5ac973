/* DocumentEncoder: the tokens of a text that comes in parts. Memory does not grow with the text: a
 * piece of more than 2 MiB (megabytes without a space) is cut. Not collective. */
#pragma once

#include "data/token_buffer.h"
#include "data/tokenizer.h"

typedef struct DocumentEncoder DocumentEncoder;

/* Receives the next tokens of the text. */
typedef Status (*TokensFn)(void *context, const TokenBuffer *tokens);

/* `tokenizer` is borrowed. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status document_encoder_create(Tokenizer *tokenizer, TokensFn take, void *context,
                                         DocumentEncoder **out);
void document_encoder_destroy(DocumentEncoder **encoder);

/* Errors: those of the tokenizer and of the receiver. */
NODISCARD Status document_encoder_part(DocumentEncoder *encoder, const uint8_t *text, size_t bytes);

/* Ends the text; the next part begins another. */
NODISCARD Status document_encoder_end(DocumentEncoder *encoder);
