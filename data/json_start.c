#include "data/json_start.h"

#include "core/base/utf8.h"

#include <string.h>

static const uint8_t *spaces_skip(const uint8_t *text, const uint8_t *end) {
    while (text < end && memchr(" \t\r\n", *text, 4) != NULL) text++;
    return text;
}

const uint8_t *json_start(const uint8_t *text, size_t bytes) {
    return spaces_skip(text + utf8_mark(text, bytes), text + bytes);
}

bool json_starts_objects(const uint8_t *text, size_t bytes, bool *is_array) {
    const uint8_t *end = text + bytes, *at = json_start(text, bytes);
    *is_array = at < end && *at == '[';
    if (*is_array) at = spaces_skip(at + 1, end);
    if (at == end || *at != '{') return false;
    at = spaces_skip(at + 1, end);
    return at < end && *at == '"';
}
