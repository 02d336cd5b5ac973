/* The texts of a report: built in memory, escaped for their format, written atomically. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"

#include <stdio.h>

/* A growing text: print to `file`, then call text_write or text_drop. */
typedef struct Text {
    FILE *file; /* NULL if memory is out */
    char *bytes;
    size_t size;
} Text;

NODISCARD Status text_open(Text *text);

/* Writes the text as DIRECTORY/NAME and frees it. */
NODISCARD Status text_write(Text *text, const char *directory, const char *name);
void text_drop(Text *text);

/* Write a string as HTML text or attribute value, a CSV field, a cell of a Markdown table, a quoted
 * gnuplot string. Control characters become blanks if the format cannot hold them. */
void put_html(FILE *file, const char *string);
void put_csv(FILE *file, const char *string);
void put_markdown(FILE *file, const char *string);
void put_gnuplot(FILE *file, const char *string);

/* Numbers for people; NaN gives "". Never NULL. */
const char *joules_text(Arena *arena, double joules);
const char *number_text(Arena *arena, const char *format, double value);
const char *count_text(Arena *arena, double count);     /* 1.33 M */
const char *bytes_text(Arena *arena, double bytes);     /* 30.2 MiB */
const char *seconds_text(Arena *arena, double seconds); /* 20 s, 3.5 min, 1 h */

/* Converts the result of an arena: "" if memory is out. */
static inline const char *or_empty(const char *text) { return text == NULL ? "" : text; }
