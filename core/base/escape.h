/* Text of others on its way to a terminal, a log or a message: what would move the cursor, change
 * colours, end the line or turn the reading direction is shown, not done. */
#pragma once

#include <stddef.h>
#include <stdio.h>

/* Copies `from` into `to`, cut at a character where `room` is too small. Valid UTF-8 stays. Control
 * characters (C0, DEL, C1), line and paragraph separators, bidirectional controls and bytes that
 * are not UTF-8 become \n, \t, \r or \xNN, byte by byte. What is escaped already stays as it is.
 * Returns `to`. */
const char *escape_text(const char *from, char *to, size_t room);

/* Writes `text` to `file`, escaped, whatever its length. */
void escape_print(FILE *file, const char *text);

/* Writes a line, escaped: what a program says of names that others chose. At most 4 KiB. */
void escape_say(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Replaces each such character of a text in place by one '?', so that columns stay, but for
 * newlines and tabs. */
void escape_mask(char *text);
