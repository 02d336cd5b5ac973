/* Patterns: regular expressions that cut text into pieces. PCRE2 runs them with UTF and UCP, and
 * with its JIT compiler if available. Not collective; one thread at a time per pattern. */
#pragma once

#include "core/status.h"
#include "data/pattern_translate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Pattern Pattern;

/* pattern_create: translates and compiles a pattern.
 *   Errors: those of pattern_translate; STATUS_DATA if the pattern can match an empty string;
 *   STATUS_FAILURE if PCRE2 lacks Unicode. */
NODISCARD Status pattern_create(const char *source, PatternDialect dialect, Pattern **out);
void pattern_destroy(Pattern **pattern);

/* The pattern as PCRE2 gets it. */
const char *pattern_text(const Pattern *pattern);

typedef enum PatternResult {
    PATTERN_FOUND,
    PATTERN_NONE,
    PATTERN_UNDECIDED, /* following text can change the match that begins at `begin` */
} PatternResult;

typedef struct PatternMatch {
    PatternResult result;
    size_t begin, end; /* text[begin..end); PATTERN_NONE: both are the end of the text */
} PatternMatch;

/* pattern_find: the first match in text[at..bytes). text must be valid UTF-8. `is_open`: more text
 * may follow, so a match that depends on the end of the text is undecided.
 *   Errors: STATUS_FAILURE if PCRE2 fails. */
NODISCARD Status pattern_find(Pattern *pattern, const uint8_t *text, size_t bytes, size_t at,
                              bool is_open, PatternMatch *out);
