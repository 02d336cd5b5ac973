/* GPT-2's pattern, which cuts text into pieces that are encoded separately:
 *
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * PCRE2 matches it with UTF and UCP, and with its JIT compiler if available. Every character
 * belongs to exactly one piece. Source: openai/gpt-2, encoder.py. */
#pragma once

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct Gpt2Pattern Gpt2Pattern;

NODISCARD Status gpt2_pattern_create(Gpt2Pattern **out);
void gpt2_pattern_destroy(Gpt2Pattern **pattern);

/* gpt2_pattern_next: the end of the piece that starts at text[at]. text[0..bytes) must be valid
 * UTF-8; at < bytes.
 *   Errors: STATUS_FAILURE if PCRE2 fails. Not collective; one thread at a time per pattern. */
NODISCARD Status gpt2_pattern_next(Gpt2Pattern *pattern, const uint8_t *text, size_t bytes,
                                   size_t at, size_t *end);
