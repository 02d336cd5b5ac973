#include "launch/config/suggest.h"

#include <stdint.h>
#include <string.h>

enum { LONGEST = 63 };

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

size_t edit_distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST) return SIZE_MAX;
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t above = row[j];
            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[m];
}

int is_slip(size_t distance, const char *word) {
    size_t length = strlen(word);
    return distance != SIZE_MAX && distance < length && distance <= (length < 6 ? 2 : length / 3);
}

const char *suggest(const char *word, const char *const *names) {
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (; *names != NULL; names++) {
        size_t distance = edit_distance(word, *names);
        if (distance < least) {
            least = distance;
            nearest = *names;
        }
    }
    return is_slip(least, word) ? nearest : NULL;
}
