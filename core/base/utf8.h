/* Which bytes are UTF-8 (RFC 3629: no surrogates, nothing over U+10FFFF, no overlong forms). */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The number of bytes of the valid character that starts at text[0], or 0 where none does. */
size_t utf8_character(const uint8_t *text, size_t bytes);

/* The number of bytes, from the start, that are valid characters without a gap. */
size_t utf8_valid_prefix(const uint8_t *text, size_t bytes);

/* The largest cut <= bytes that does not part a character from its continuation bytes (at most
 * three are dropped). */
size_t utf8_cut(const uint8_t *text, size_t bytes);
