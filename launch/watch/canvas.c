#include "launch/watch/canvas.h"

#include <math.h>
#include <stdlib.h>

/* Unicode 15, Braille Patterns: the bit of the dot in (row, column) of a character. */
static const unsigned char dot_bits[4][2] = {
    {0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

Status canvas_create(Arena *arena, int columns, int rows, bool unicode, Canvas *out) {
    size_t cells = (size_t)columns * (size_t)rows;
    *out = (Canvas){.columns = columns, .rows = rows, .unicode = unicode};
    out->dots = arena_alloc(arena, cells);
    out->marks = arena_alloc(arena, cells);
    if (out->dots != NULL && out->marks != NULL) return OK;
    return OUT_OF_MEMORY("a chart");
}

/* The index of a share among `count` places. */
static int place_of(double share, int count) {
    return (int)lround(fmin(fmax(share, 0), 1) * (count - 1));
}

static void dot_set(Canvas *c, int x, int y) {
    int row = c->rows - 1 - y / 4;
    c->dots[row * c->columns + x / 2] |= dot_bits[3 - y % 4][x % 2];
}

/* Source: Bresenham, "Algorithm for computer control of a digital plotter", 1965, in the form with
 * one error term for all octants. */
void canvas_line(Canvas *c, double x0, double y0, double x1, double y1) {
    int x = place_of(x0, 2 * c->columns), y = place_of(y0, 4 * c->rows),
        x_end = place_of(x1, 2 * c->columns), y_end = place_of(y1, 4 * c->rows);
    int dx = abs(x_end - x), dy = -abs(y_end - y), step_x = x < x_end ? 1 : -1,
        step_y = y < y_end ? 1 : -1, error = dx + dy;
    dot_set(c, x, y);
    while (x != x_end || y != y_end) {
        int twice = 2 * error;
        if (twice >= dy) error += dy, x += step_x;
        if (twice <= dx) error += dx, y += step_y;
        dot_set(c, x, y);
    }
}

int canvas_row(const Canvas *c, double y) { return c->rows - 1 - place_of(y, 4 * c->rows) / 4; }

void canvas_mark(Canvas *c, double x, double y, char mark) {
    c->marks[canvas_row(c, y) * c->columns + place_of(x, 2 * c->columns) / 2] = mark;
}

/* U+2800 + dots, in UTF-8. */
static void braille_write(unsigned char dots, FILE *file) {
    const unsigned char bytes[] = {0xe2, (unsigned char)(0xa0 + (dots >> 6)),
                                   (unsigned char)(0x80 + (dots & 0x3f))};
    fwrite(bytes, 1, sizeof bytes, file);
}

void canvas_write(const Canvas *c, int row, FILE *file) {
    for (int i = row * c->columns; i < (row + 1) * c->columns; i++) {
        if (c->marks[i] != 0)
            fputc(c->marks[i], file);
        else if (c->dots[i] == 0)
            fputc(' ', file);
        else if (c->unicode)
            braille_write(c->dots[i], file);
        else
            fputc('*', file);
    }
}

const char *bar_character(double share, bool unicode) {
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const letters[] = {"_", ".", ",", "-", "=", "+", "*", "#"};
    int place = place_of(share, 8);
    return unicode ? blocks[place] : letters[place];
}
