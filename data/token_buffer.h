/* A growing array of tokens. Initialize it with {0}; free it with token_buffer_free. */
#pragma once

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct TokenBuffer {
    int32_t *tokens;
    size_t count, capacity;
} TokenBuffer;

/* Reserves space for `more` further tokens. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status token_buffer_reserve(TokenBuffer *buffer, size_t more);
NODISCARD Status token_buffer_append(TokenBuffer *buffer, const int32_t *tokens, size_t count);
void token_buffer_free(TokenBuffer *buffer);
