/* The terminal that shows a program's output. Under mpirun each rank has a terminal of its own, so
 * that of the launcher counts. Not collective. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct TerminalSize {
    int columns, rows;
} TerminalSize;

/* The size now of the terminal that shows standard output; 80 x 24 if it does not tell, {0, 0} if
 * the output goes elsewhere. */
TerminalSize terminal_size(void);

/* The same for the one that shows standard error, which is the process's own. */
TerminalSize terminal_size_of_errors(void);

/* Whether a program may redraw what it has shown: on a terminal, unless NO_COLOR is set. */
bool terminal_redraws(void);

/* The columns that UTF-8 text takes, one for each character. */
int terminal_width_of(const char *text);

/* The bytes of the longest beginning of `text` that is at most `columns` wide. */
size_t terminal_cut(const char *text, int columns);

/* Writes a line, broken at blanks so that no part exceeds `columns`; the parts after the first are
 * indented. Words longer than that are not broken. 0 columns: no limit. */
void terminal_fold(FILE *file, const char *line, int columns);
