/* A line of fields, `step 120 | loss 3.2817`, that leaves out the least important ones until it
 * fits. Not collective. */
#pragma once

#include <stddef.h>

enum { LINE_FIELDS_MAX = 8, LINE_FIELD_BYTES = 64 };

/* Fields with a lower rank stay longer. */
typedef struct LineField {
    char text[LINE_FIELD_BYTES];
    int rank;
} LineField;

typedef struct LineFields {
    LineField items[LINE_FIELDS_MAX];
    int count;
} LineFields;

void line_field_add(LineFields *fields, int rank, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Removes fields until the line is at most `columns` wide; the last one remains. */
void line_fields_fit(LineFields *fields, int columns);

/* Columns of the line. */
int line_fields_width(const LineFields *fields);

void line_fields_write(const LineFields *fields, char *text, size_t bytes);
