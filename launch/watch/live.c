#include "launch/watch/live.h"

#include <stdio.h>
#include <string.h>

void live_draw(Live *live, const char *text) {
    TerminalSize size = terminal_size();
    bool is_resized = live->lines > 0 && memcmp(&size, &live->size, sizeof size) != 0;
    if (is_resized)
        fputs("\033[H\033[2J", stdout); /* the terminal has moved what stood there */
    else if (live->lines > 0)
        printf("\033[%dA\r", live->lines);
    live->lines = 0;
    for (const char *end; live->lines + 1 < size.rows && (end = strchr(text, '\n')) != NULL;
         text = end + 1) {
        printf("%.*s\033[K\n", (int)(end - text), text);
        live->lines++;
    }
    fputs("\033[J", stdout);
    fflush(stdout);
    live->size = size;
}
