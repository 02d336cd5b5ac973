/* Translates regular expressions of the engines that published patterns are written for to PCRE2.
 *
 * Accepts what means the same in all three: literal characters, alternatives, the groups `(`, `(?:`
 * and `(?i:`, look-ahead, sets with ranges, the escapes \s \S \d \D \r \n \t, \p and \P with a
 * general category, and the repetitions ? * + {m} {m,} {m,n}. Sources: pcre2pattern(3); doc/RE of
 * Oniguruma; docs.rs/fancy-regex. */
#pragma once

#include "core/status.h"

typedef enum PatternDialect {
    PATTERN_FANCY_REGEX, /* tiktoken; also `$`, the end of the text, and `{m,n}+`, possessive */
    PATTERN_ONIGURUMA,   /* Hugging Face tokenizers */
    PATTERN_LITERAL,     /* a string that stands for itself */
} PatternDialect;

/* pattern_translate: *out = the pattern in PCRE2's syntax; the caller frees it.
 *   Errors: STATUS_DATA naming the part that is not supported; STATUS_OUT_OF_MEMORY. Not
 * collective. */
NODISCARD Status pattern_translate(const char *source, PatternDialect dialect, char **out);
