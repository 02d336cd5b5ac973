/* A drawing in characters: braille patterns with 2 x 4 dots each or, in a terminal without UTF-8,
 * asterisks. Not collective. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdio.h>

typedef struct Canvas {
    int columns, rows; /* characters */
    bool unicode;
    unsigned char *dots; /* (rows, columns): a bit for each dot */
    char *marks;         /* (rows, columns): a character in place of the dots, or 0 */
} Canvas;

NODISCARD Status canvas_create(Arena *arena, int columns, int rows, bool unicode, Canvas *out);

/* Positions from 0 to 1, to the right and upward; those outside are moved to the border. */
void canvas_line(Canvas *canvas, double x0, double y0, double x1, double y1);
void canvas_mark(Canvas *canvas, double x, double y, char mark);

/* The row of a height. */
int canvas_row(const Canvas *canvas, double y);

/* Writes row `row`, counted from the top, all its columns. */
void canvas_write(const Canvas *canvas, int row, FILE *file);

/* One character for a share of a full column, 0 to 1. */
const char *bar_character(double share, bool unicode);
