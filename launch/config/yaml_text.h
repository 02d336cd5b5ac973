/* Characters of a YAML text. */
#pragma once

#include "launch/config/node.h"

#include <stdint.h>

/* The width of a place that goes on to the end of its line. */
#define LINE_END ((size_t)1 << 30)

/* Characters in the first `bytes` bytes of a UTF-8 text. */
size_t yaml_characters(const char *text, size_t bytes);

/* The bytes that the first `characters` characters take, at most the whole text. */
size_t yaml_bytes(const char *text, size_t characters);

/* The first control character or line separator of a text, but for the characters that are welcome;
 * 0: none. */
uint32_t yaml_control(const char *text, const char *welcome);

/* UTF-8 without NUL, control characters, and line ends other than LF and CR LF; otherwise
 * STATUS_CONFIG. */
NODISCARD Status yaml_check_text(const Source *source);
