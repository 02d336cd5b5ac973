/* A text that is redrawn in place on a terminal. Not collective. */
#pragma once

#include "launch/base/terminal.h"

typedef struct Live {
    int lines; /* of the text that stands there */
    TerminalSize size;
} Live;

/* Replaces the text: whole lines, of which those that the terminal has no room for are left out. */
void live_draw(Live *live, const char *text);
