#include "launch/config/suggest.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { LONGEST = 63, SHORTEST_START = 3 };

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Rows only grow: once all of one is over `most`, so is the distance. */
size_t edit_distance(const char *a, const char *b, size_t most) {
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST || n > m + most || m > n + most) return SIZE_MAX;
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0], least = i;
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t above = row[j];
            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
            if (row[j] < least) least = row[j];
        }
        if (least > most) return SIZE_MAX;
    }
    return row[m] <= most ? row[m] : SIZE_MAX;
}

size_t slip_most(const char *word) {
    size_t length = strlen(word);
    return length < 3 ? length - (length > 0) : length < 6 ? 2 : length / 3;
}

/* The shortest name that starts with the word, in either case; of a short word, all of the name. */
static const char *completed(const char *word, const char *const *names) {
    const char *found = NULL;
    size_t length = strlen(word);
    for (; *names != NULL; names++) {
        bool starts = strncasecmp(word, *names, length) == 0,
             is_short = length < SHORTEST_START && (*names)[length] != '\0';
        if (!starts || is_short || length == 0) continue;
        if (found == NULL || strlen(*names) < strlen(found)) found = *names;
    }
    return found;
}

const char *suggest(const char *word, const char *const *names) {
    const char *nearest = completed(word, names);
    if (nearest != NULL) return nearest;
    size_t least = slip_most(word) + 1;
    for (; *names != NULL; names++) {
        size_t distance = edit_distance(word, *names, least - 1);
        if (distance >= least) continue;
        least = distance;
        nearest = *names;
        if (least == 0) break;
    }
    return nearest;
}
