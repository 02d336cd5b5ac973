#include "launch/config/yaml_text.h"

#include "launch/config/diagnostic.h"

#include <string.h>

size_t yaml_characters(const char *text, size_t bytes) {
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++) count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

size_t yaml_bytes(const char *text, size_t characters) {
    size_t bytes = 0;
    for (; characters > 0 && text[bytes] != '\0'; characters--) {
        bytes++;
        while (((unsigned char)text[bytes] & 0xC0) == 0x80) bytes++;
    }
    return bytes;
}

/* The code point at `text`, and its length in bytes; 0 if the bytes are not UTF-8 (RFC 3629). */
static size_t decode(const unsigned char *text, size_t bytes, uint32_t *out) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char head = text[0];
    size_t length = head < 0x80       ? 1
                    : head >> 5 == 6  ? 2
                    : head >> 4 == 14 ? 3
                    : head >> 3 == 30 ? 4
                                      : 0;
    if (length == 0 || length > bytes) return 0;
    uint32_t point = length == 1 ? head : head & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80) return 0;
        point = point << 6 | (text[i] & 0x3Fu);
    }
    if (point < least[length] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return 0;
    *out = point;
    return length;
}

uint32_t yaml_control(const char *text, const char *welcome) {
    for (size_t length; *text != '\0'; text += length) {
        uint32_t point;
        length = decode((const unsigned char *)text, strnlen(text, 4), &point);
        bool is_control = length > 0 && (point < 0x20 || (point >= 0x7F && point < 0xA0) ||
                                         point == 0x2028 || point == 0x2029);
        if (is_control && strchr(welcome, *text) == NULL) return point;
        if (length == 0) length = 1; /* an environment variable that is not UTF-8 */
    }
    return 0;
}

static bool is_refused(uint32_t point, bool before_line_feed) {
    if (point == '\t' || point == '\n') return false;
    if (point == '\r') return !before_line_feed;
    return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029 ||
           point == 0xFEFF || point == 0xFFFE || point == 0xFFFF;
}

Status yaml_check_text(const Source *source) {
    /* The message does not quote the line, which may contain anything. */
    const Source bare = {.origin = source->origin};
    Place place = {&bare, 1, 1, 1};
    const unsigned char *text = (const unsigned char *)source->text;
    for (size_t i = 0, length; i < source->bytes; i += length) {
        uint32_t point;
        length = decode(text + i, source->bytes - i, &point);
        if (length == 0)
            return PLACE_ERROR(place, "not UTF-8 (byte 0x%02x); save the file as UTF-8", text[i]);
        if (is_refused(point, text[i + 1] == '\n')) {
            return PLACE_ERROR(place, "the character U+%04X is not allowed; remove it", point);
        }
        place.column++;
        if (point == '\n') {
            place.line++;
            place.column = 1;
        }
    }
    return OK;
}
