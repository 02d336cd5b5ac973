#include "data/byte_letters.h"

#include <stdbool.h>

/* The bytes that are not printable: 0 to 0x20, 0x7F to 0xA0, and 0xAD. */
enum { LOW = 0x21, MIDDLE = 0x22, FIRST_LETTER = 0x100, LAST_LETTER = FIRST_LETTER + LOW + MIDDLE };

static bool is_printable(unsigned byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

/* The byte of a character, or -1. */
static int byte_of(unsigned letter) {
    if (is_printable(letter)) return (int)letter;
    if (letter < FIRST_LETTER || letter > LAST_LETTER) return -1;
    unsigned i = letter - FIRST_LETTER;
    return (int)(i < LOW ? i : i < LOW + MIDDLE ? 0x7F + (i - LOW) : 0xAD);
}

/* All characters are below U+0180, so each has one or two bytes in UTF-8. */
size_t byte_letters_decode(const char *word, size_t length, uint8_t *out) {
    size_t n = 0;
    for (size_t i = 0; i < length && n < MAX_WORD_BYTES; n++) {
        unsigned letter = (uint8_t)word[i++];
        if (letter >= 0x80) {
            if ((letter & 0xE0) != 0xC0 || i == length) return 0;
            letter = (letter & 0x1F) << 6 | ((unsigned)(uint8_t)word[i++] & 0x3F);
        }
        int byte = byte_of(letter);
        if (byte < 0) return 0;
        out[n] = (uint8_t)byte;
    }
    return n;
}

static unsigned letter_of(unsigned byte) {
    if (is_printable(byte)) return byte;
    return FIRST_LETTER + (byte < LOW ? byte : byte < 0xAD ? LOW + byte - 0x7F : LOW + MIDDLE);
}

size_t byte_letter_encode(uint8_t byte, char out[2]) {
    unsigned letter = letter_of(byte);
    if (letter < 0x80) {
        out[0] = (char)letter;
        return 1;
    }
    out[0] = (char)(0xC0 | letter >> 6);
    out[1] = (char)(0x80 | (letter & 0x3F));
    return 2;
}
