#include "launch/config/diagnostic.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE_CHARACTERS = 120, BEFORE_CHARACTERS = 60, TEXT_BYTES = 60 };

static bool continues(char byte) { return ((unsigned char)byte & 0xC0) == 0x80; }

static const char *skip_characters(const char *text, const char *end, size_t characters) {
    while (text < end && characters > 0) {
        text++;
        while (text < end && continues(*text)) text++;
        characters--;
    }
    return text;
}

static size_t count_characters(const char *text, const char *end) {
    size_t count = 0;
    for (; text < end; text++) count += !continues(*text);
    return count;
}

static void find_line(const Place *place, const char **start, const char **end) {
    const char *cursor = place->source->text;
    for (size_t line = 1; line < place->line; line++) {
        const char *next = strchr(cursor, '\n');
        if (next == NULL) break;
        cursor = next + 1;
    }
    *start = cursor;
    *end = cursor + strcspn(cursor, "\r\n");
}

/* The source line and its underline; a long line is cut to a window around the position. */
static void excerpt(const Place *place, char *out, size_t bytes) {
    const char *start, *end;
    find_line(place, &start, &end);
    size_t before = place->column - 1;
    if (before > BEFORE_CHARACTERS && count_characters(start, end) > LINE_CHARACTERS) {
        start = skip_characters(start, end, before - BEFORE_CHARACTERS);
        before = BEFORE_CHARACTERS;
    }
    const char *stop = skip_characters(start, end, LINE_CHARACTERS);
    const char *mark = skip_characters(start, stop, before);
    size_t length = count_characters(start, stop);

    char under[LINE_CHARACTERS + 2];
    memset(under, '~', sizeof under);
    size_t used = 0;
    for (const char *c = start; c < mark && used < LINE_CHARACTERS; c++) {
        if (!continues(*c)) under[used++] = *c == '\t' ? '\t' : ' ';
    }
    under[used++] = '^';
    size_t left = before < length ? length - before : 1;
    if (place->width > 1) used += (place->width < left ? place->width : left) - 1;
    snprintf(out, bytes, "    %zu | %.*s\n    %*s | %.*s", place->line, (int)(stop - start), start,
             snprintf(NULL, 0, "%zu", place->line), "", (int)used, under);
}

Status place_error(Place place, const char *file, int line, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (place.line == 0)
        return status_error(STATUS_CONFIG, file, line, "%s: error: %s", place.source->origin, text);

    char source[LINE_CHARACTERS * 8] = "";
    if (place.source->text != NULL) excerpt(&place, source, sizeof source);
    return status_error_excerpt(STATUS_CONFIG, file, line, source, "%s:%zu:%zu: error: %s",
                                place.source->origin, place.line, place.column, text);
}

const char *shown(Arena *arena, const char *text) {
    size_t bytes = strlen(text);
    size_t kept = bytes;
    if (bytes > TEXT_BYTES) {
        kept = TEXT_BYTES - 3;
        while (kept > 0 && continues(text[kept])) kept--;
    }
    char *copy = arena_printf(arena, "%.*s%s", (int)kept, text, kept < bytes ? "..." : "");
    if (copy == NULL) return "?";
    for (char *c = copy; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = '?';
    }
    return copy;
}

const char *shown_node(Arena *arena, const YamlNode *node) {
    if (node->kind == NODE_MAP) return node->first == NULL ? "an empty map" : "a map";
    if (node->kind == NODE_LIST) return node->first == NULL ? "an empty list" : "a list";
    const char *text = arena_printf(arena, "'%s'", shown(arena, node->text));
    return text == NULL ? "?" : text;
}
