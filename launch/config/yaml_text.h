/* Characters of a YAML text. */
#pragma once

#include "launch/config/node.h"

#include <stdint.h>

/* The width of a position that extends to the end of its line. */
#define LINE_END ((size_t)1 << 30)

/* The number of characters in the first `bytes` bytes of a UTF-8 text. */
size_t yaml_characters(const char *text, size_t bytes);

/* The number of bytes in the first `characters` characters, at most the whole text. */
size_t yaml_bytes(const char *text, size_t characters);

/* The first control character or line separator of a text, except those that are allowed; 0:
 * none. */
uint32_t yaml_control(const char *text, const char *welcome);

/* Checks for UTF-8 without NUL, control characters, and line ends other than LF and CR LF;
 * otherwise STATUS_CONFIG. */
NODISCARD Status yaml_check_text(const Source *source);
