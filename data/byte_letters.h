/* GPT-2's way to write bytes as printable characters: a byte that is printable in Latin-1 is
 * itself, the others are U+0100, U+0101 and so on. Source: bytes_to_unicode in openai/gpt-2's
 * encoder.py. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { MAX_WORD_BYTES = 1 << 16 };

/* Decodes at most MAX_WORD_BYTES bytes; the number of them, or 0 if a character stands for no
 * byte. */
size_t byte_letters_decode(const char *word, size_t length, uint8_t *out);

/* The letter of a byte in UTF-8: one byte or two; returns how many. */
size_t byte_letter_encode(uint8_t byte, char out[2]);
