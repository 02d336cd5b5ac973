/* Escapes untrusted text for a terminal, a log or a message. Characters that would move the cursor,
 * change colors, end the line or reverse the reading direction are shown as escapes. */
#pragma once

#include <stddef.h>
#include <stdio.h>

/* Copies `from` to `to`, cut at a character if it exceeds `capacity`. Valid UTF-8 is unchanged.
 * Control characters (C0, DEL, C1), line and paragraph separators, bidirectional controls and
 * invalid bytes become \n, \t, \r or \xNN, byte by byte. Existing escapes are unchanged. Returns
 * `to`. */
const char *escape_text(const char *from, char *to, size_t capacity);

/* Writes `text` of any length to `file`, escaped. */
void escape_print(FILE *file, const char *text);

/* Writes a formatted line with untrusted names, escaped. At most 4 KiB. */
void escape_say(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Replaces each such character in place by '?', except newlines and tabs, so that columns stay
 * aligned. */
void escape_mask(char *text);

/* Turns zero bytes into ends of lines. A power cut leaves them in a log in place of what was not on
 * the disk yet; what follows them is whole again, and must not be hidden behind the end of a
 * string. */
void escape_zeros(char *text, size_t bytes);
