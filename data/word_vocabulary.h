/* The parts of a vocabulary as JSON and merge lists write them, with the characters of
 * byte_letters.h. Not collective. */
#pragma once

#include "data/vocabulary.h"

/* word_add: adds the token `word`. Errors: STATUS_DATA. */
NODISCARD Status word_add(Vocabulary *vocabulary, const char *word, int64_t id);

/* word_merge_add: adds the merge of two words. All of both and their concatenation must be tokens.
 *   Errors: STATUS_DATA. */
NODISCARD Status word_merge_add(Vocabulary *vocabulary, const char *left, size_t n_left,
                                const char *right, size_t n_right, uint32_t rank);

/* The same for `left right`, with one space between them. */
NODISCARD Status word_merge_line_add(Vocabulary *vocabulary, const char *line, uint32_t rank);
