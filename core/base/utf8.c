#include "core/base/utf8.h"

#include <string.h>

size_t utf8_mark(const uint8_t *text, size_t bytes) {
    return bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

static int is_continuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

size_t utf8_character(const uint8_t *text, size_t bytes) {
    if (bytes == 0) return 0;
    uint8_t lead = text[0];
    if (lead < 0x80) return 1;
    size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || length > bytes) return 0;
    for (size_t i = 1; i < length; i++) {
        if (!is_continuation(text[i])) return 0;
    }
    /* After four lead bytes the range of the second byte is narrower. Source: Unicode 15, table
     * 3-7. */
    if (lead == 0xE0 && text[1] < 0xA0) return 0;
    if (lead == 0xED && text[1] > 0x9F) return 0;
    if (lead == 0xF0 && text[1] < 0x90) return 0;
    if (lead == 0xF4 && text[1] > 0x8F) return 0;
    return length;
}

size_t utf8_valid_prefix(const uint8_t *text, size_t bytes) {
    size_t at = 0;
    while (at < bytes) {
        uint64_t eight;
        if (bytes - at >= sizeof eight) { /* most text is ASCII: check eight bytes at a time */
            memcpy(&eight, text + at, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof eight;
                continue;
            }
        }
        size_t length = utf8_character(text + at, bytes - at);
        if (length == 0) break;
        at += length;
    }
    return at;
}

size_t utf8_cut(const uint8_t *text, size_t bytes) {
    for (size_t back = 1; back <= 3 && back <= bytes; back++) {
        uint8_t byte = text[bytes - back];
        if (is_continuation(byte)) continue;
        size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
        return length > back ? bytes - back : bytes;
    }
    return bytes;
}
