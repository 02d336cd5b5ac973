/* Which failures are none: a point that does not fit is a result, and is not started again. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

/* The last of the lines by which a program says why it failed, `NAME: error: ...`; NULL where there is none. Changes
 * the text: its lines become strings. */
const char *error_line_last(char *text);

/* Whether that line says that a plan is larger than the memory, or that there was none left. */
bool no_room_is_said(const char *line);

/* The same of a log as a shell's command, which succeeds where it is said. `log`: the file, as a word of the shell. */
void no_room_print(const char *log, FILE *file);
