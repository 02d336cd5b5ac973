#include "core/base/escape.h"

#include "core/base/utf8.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

enum { LINE_BYTES = 4096, SHOWN_BYTES = 17 }; /* four bytes as \xNN, and a zero byte */

/* C1 controls; U+061C, U+200E and U+200F, U+2028 to U+202E, U+2066 to U+2069 (Unicode 15, 23.2). */
static bool is_control(const unsigned char *text, size_t length) {
    if (length == 1) return text[0] < 0x20 || text[0] == 0x7F;
    if (length == 2)
        return (text[0] == 0xC2 && text[1] < 0xA0) || (text[0] == 0xD8 && text[1] == 0x9C);
    if (length != 3 || text[0] != 0xE2) return false;
    if (text[1] == 0x80)
        return text[2] == 0x8E || text[2] == 0x8F || (text[2] >= 0xA8 && text[2] <= 0xAE);
    return text[1] == 0x81 && text[2] >= 0xA6 && text[2] <= 0xA9;
}

/* Formats the character at `text` for display; *length = its bytes. */
static size_t show(const unsigned char *text, size_t bytes, size_t *length, char out[SHOWN_BYTES]) {
    static const char named[] = {['\n'] = 'n', ['\t'] = 't', ['\r'] = 'r'};
    size_t valid = utf8_character(text, bytes), used = 0;
    *length = valid == 0 ? 1 : valid;
    if (valid > 0 && !is_control(text, valid)) {
        memcpy(out, text, valid);
        return valid;
    }
    if (text[0] < sizeof named && named[text[0]] != 0) {
        return (size_t)snprintf(out, SHOWN_BYTES, "\\%c", named[text[0]]);
    }
    for (size_t i = 0; i < *length; i++) {
        used += (size_t)snprintf(out + used, SHOWN_BYTES - used, "\\x%02X", (unsigned)text[i]);
    }
    return used;
}

const char *escape_text(const char *from, char *to, size_t capacity) {
    const unsigned char *text = (const unsigned char *)from;
    size_t left = strlen(from), used = 0, length;
    char shown[SHOWN_BYTES];
    for (; left > 0; text += length, left -= length) {
        size_t bytes = show(text, left, &length, shown);
        if (used + bytes >= capacity) break;
        memcpy(to + used, shown, bytes);
        used += bytes;
    }
    to[used] = '\0';
    return to;
}

void escape_print(FILE *file, const char *text) {
    size_t left = strlen(text), length;
    char shown[SHOWN_BYTES];
    for (; left > 0; text += length, left -= length) {
        fwrite(shown, 1, show((const unsigned char *)text, left, &length, shown), file);
    }
}

void escape_say(FILE *file, const char *format, ...) {
    char text[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    escape_print(file, text);
    fputc('\n', file);
}

void escape_mask(char *text) {
    char *to = text;
    for (size_t left = strlen(text), length; left > 0; text += length, left -= length) {
        const unsigned char *at = (const unsigned char *)text;
        size_t valid = utf8_character(at, left);
        length = valid == 0 ? 1 : valid;
        if (valid > 0 && (!is_control(at, valid) || *text == '\n' || *text == '\t')) {
            memmove(to, text, length);
            to += length;
        } else {
            *to++ = '?';
        }
    }
    *to = '\0';
}

void escape_zeros(char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\0') text[i] = '\n';
    }
}
