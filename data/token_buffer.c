#include "data/token_buffer.h"

#include "core/base/checked.h"

#include <stdlib.h>
#include <string.h>

Status token_buffer_reserve(TokenBuffer *buffer, size_t more) {
    size_t needed, bytes;
    if (more <= buffer->capacity - buffer->count) return OK;
    bool fits = checked_add(buffer->count, more, &needed) &&
                checked_add(needed, needed / 2 + 64, &needed) &&
                checked_mul(needed, sizeof *buffer->tokens, &bytes);
    int32_t *tokens = fits ? realloc(buffer->tokens, bytes) : NULL;
    if (tokens == NULL) return OUT_OF_MEMORY("%zu more tokens", more);
    buffer->tokens = tokens;
    buffer->capacity = needed;
    return OK;
}

Status token_buffer_append(TokenBuffer *buffer, const int32_t *tokens, size_t count) {
    TRY(token_buffer_reserve(buffer, count));
    if (count > 0) memcpy(buffer->tokens + buffer->count, tokens, count * sizeof *tokens);
    buffer->count += count;
    return OK;
}

void token_buffer_free(TokenBuffer *buffer) {
    free(buffer->tokens);
    *buffer = (TokenBuffer){0};
}
