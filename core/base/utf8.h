/* Validation of UTF-8 (RFC 3629: no surrogates, nothing above U+10FFFF, no overlong forms). */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The bytes of the mark at the start that says UTF-8, which some editors write: 3 or 0. */
size_t utf8_mark(const uint8_t *text, size_t bytes);

/* The number of bytes of the valid character that starts at text[0], or 0. */
size_t utf8_character(const uint8_t *text, size_t bytes);

/* The number of bytes in the longest valid prefix. */
size_t utf8_valid_prefix(const uint8_t *text, size_t bytes);

/* The largest cut <= bytes that does not separate a character from its continuation bytes (drops at
 * most three bytes). */
size_t utf8_cut(const uint8_t *text, size_t bytes);
