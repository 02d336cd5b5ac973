/* Did-you-mean suggestions for keys, enum values and options. */
#pragma once

#include <stddef.h>

/* The Levenshtein distance of two strings in bytes; SIZE_MAX if it is over `most`, or if one has
 * over 63 bytes. */
size_t edit_distance(const char *a, const char *b, size_t most);

/* The largest distance that is small enough to be a typing error in this word. */
size_t slip_most(const char *word);

/* The name that starts with `word`, otherwise the nearest if it is near enough, otherwise NULL.
 * `names` is NULL-terminated. */
const char *suggest(const char *word, const char *const *names);
