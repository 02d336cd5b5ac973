#include "launch/study/report/text.h"

#include "launch/base/text_file.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

Status text_open(Text *text) {
    *text = (Text){0};
    text->file = open_memstream(&text->bytes, &text->size);
    return text->file == NULL ? OUT_OF_MEMORY("a report") : OK;
}

void text_drop(Text *text) {
    if (text->file != NULL) fclose(text->file);
    free(text->bytes);
    *text = (Text){0};
}

Status text_write(Text *text, const char *directory, const char *name) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    bool whole = fclose(text->file) == 0;
    text->file = NULL;
    Status status = whole ? text_file_replace(path, text->bytes) : OUT_OF_MEMORY("%s", path);
    text_drop(text);
    return status;
}

static bool is_control(char c) { return (unsigned char)c < 32 || c == 127; }

static void put_escaped(FILE *file, const char *string, const char *characters,
                        const char *const *escapes) {
    for (; *string != 0; string++) {
        const char *found = strchr(characters, *string);
        if (found != NULL)
            fputs(escapes[found - characters], file);
        else
            fputc(is_control(*string) ? ' ' : *string, file);
    }
}

void put_html(FILE *file, const char *string) {
    static const char *const escapes[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "\n"};
    put_escaped(file, string, "&<>\"'\n", escapes);
}

void put_csv(FILE *file, const char *string) {
    static const char *const escapes[] = {"\"\"", "\n"};
    bool quoted = strpbrk(string, ",\"\r\n") != NULL;
    if (quoted) fputc('"', file);
    put_escaped(file, string, "\"\n", escapes);
    if (quoted) fputc('"', file);
}

void put_markdown(FILE *file, const char *string) {
    static const char *const escapes[] = {"\\|",  "&lt;", "&gt;", "&amp;",
                                          "\\\\", "\\`",  "\\*",  "\\_"};
    put_escaped(file, string, "|<>&\\`*_", escapes);
}

void put_gnuplot(FILE *file, const char *string) {
    static const char *const escapes[] = {
        "’", "‘"}; /* gnuplot's escape, '', fails at the start of a string */
    fputc('\'', file);
    put_escaped(file, string, "'`", escapes);
    fputc('\'', file);
}

const char *number_text(Arena *arena, const char *format, double value) {
    char text[64] = "";
    if (isfinite(value)) snprintf(text, sizeof text, format, value);
    return or_empty(arena_strdup(arena, text));
}

/* Three digits and a unit. */
static const char *scaled_text(Arena *arena, double value, double base, const char *const *units,
                               int count) {
    int unit = 0;
    if (!isfinite(value)) return "";
    for (; value >= base && unit + 1 < count; unit++) value /= base;
    int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    return or_empty(arena_printf(arena, "%.*f%s", digits, value, units[unit]));
}

const char *count_text(Arena *arena, double count) {
    static const char *const units[] = {"", " K", " M", " G", " T"};
    return scaled_text(arena, count, 1000, units, 5);
}

const char *joules_text(Arena *arena, double joules) {
    static const char *const units[] = {" J", " kJ", " MJ", " GJ", " TJ"};
    return scaled_text(arena, joules, 1000, units, 5);
}

const char *bytes_text(Arena *arena, double bytes) {
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB"};
    return scaled_text(arena, bytes, 1024, units, 5);
}

const char *seconds_text(Arena *arena, double seconds) {
    bool minutes = seconds >= 120 && seconds < 7200 && seconds != 3600;
    if (minutes) return number_text(arena, "%.3g min", seconds / 60);
    return seconds >= 3600 ? number_text(arena, "%.3g h", seconds / 3600)
                           : number_text(arena, "%.3g s", seconds);
}
