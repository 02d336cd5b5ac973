/* A growing array of tokens. Starts as {0}; its owner calls token_buffer_free. */
#pragma once

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct TokenBuffer {
    int32_t *tokens;
    size_t count, capacity;
} TokenBuffer;

/* Makes room for `more` tokens after the ones that are there. Errors: STATUS_FAILURE without
 * memory. */
NODISCARD Status token_buffer_reserve(TokenBuffer *buffer, size_t more);
NODISCARD Status token_buffer_append(TokenBuffer *buffer, const int32_t *tokens, size_t count);
void token_buffer_free(TokenBuffer *buffer);
