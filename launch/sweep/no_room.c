#include "launch/sweep/no_room.h"

#include <string.h>

#define ERROR_MARK "error: "

/* How ./train says it; NULL-terminated. */
static const char *const texts[] = {"within memory_budget", "below the smallest batch", "out of memory", NULL};

const char *error_line_last(char *text) {
    const char *found = NULL;
    for (char *line = strsep(&text, "\n"); line != NULL; line = strsep(&text, "\n")) {
        if (strstr(line, ERROR_MARK) != NULL) found = line;
    }
    return found;
}

bool no_room_is_said(const char *line) {
    for (const char *const *text = texts; *text != NULL; text++) {
        if (strstr(line, *text) != NULL) return true;
    }
    return false;
}

void no_room_print(const char *log, FILE *file) {
    fprintf(file, "grep -F '" ERROR_MARK "' %s | tail -n 1 | grep -qF", log);
    for (const char *const *text = texts; *text != NULL; text++) fprintf(file, " -e '%s'", *text);
}
