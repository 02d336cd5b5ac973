/* Did-you-mean, for keys, enum names and options. */
#pragma once

#include <stddef.h>

/* The Levenshtein distance of two strings, counted in bytes; strings over 63 bytes are infinitely
 * far (SIZE_MAX). */
size_t edit_distance(const char *a, const char *b);

/* Whether a distance is small enough for a word of this length to be a slip of the same word. */
int is_slip(size_t distance, const char *word);

/* The name nearest to `word` where it is near enough, otherwise NULL. `names` ends in NULL. */
const char *suggest(const char *word, const char *const *names);
