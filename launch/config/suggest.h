/* Did-you-mean suggestions for keys, enum values and options. */
#pragma once

#include <stddef.h>

/* The Levenshtein distance of two strings in bytes; SIZE_MAX if one has over 63 bytes. */
size_t edit_distance(const char *a, const char *b);

/* Whether a distance is small enough to be a typing error in a word of this length. */
int is_slip(size_t distance, const char *word);

/* The name nearest to `word` if it is near enough, otherwise NULL. `names` is NULL-terminated. */
const char *suggest(const char *word, const char *const *names);
