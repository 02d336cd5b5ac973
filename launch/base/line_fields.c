#include "launch/base/line_fields.h"

#include "launch/base/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char separator[] = " | ";

void line_field_add(LineFields *fields, int rank, const char *format, ...) {
    LineField *field = &fields->items[fields->count++];
    va_list arguments;
    field->rank = rank;
    va_start(arguments, format);
    vsnprintf(field->text, sizeof field->text, format, arguments);
    va_end(arguments);
}

int line_fields_width(const LineFields *fields) {
    int width = -(int)strlen(separator);
    for (int i = 0; i < fields->count; i++)
        width += (int)strlen(separator) + terminal_width_of(fields->items[i].text);
    return width;
}

static void field_remove_last_ranked(LineFields *fields) {
    int last = 0;
    for (int i = 1; i < fields->count; i++) {
        if (fields->items[i].rank > fields->items[last].rank) last = i;
    }
    fields->count--;
    memmove(&fields->items[last], &fields->items[last + 1],
            (size_t)(fields->count - last) * sizeof *fields->items);
}

void line_fields_fit(LineFields *fields, int columns) {
    while (fields->count > 1 && line_fields_width(fields) > columns)
        field_remove_last_ranked(fields);
}

void line_fields_write(const LineFields *fields, char *text, size_t bytes) {
    size_t used = 0;
    for (int i = 0; i < fields->count && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i > 0 ? separator : "",
                                 fields->items[i].text);
}
