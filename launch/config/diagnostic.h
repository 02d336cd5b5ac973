/* Messages about a config: `FILE:LINE:COLUMN: error: ...`, then the source line with the location
 * underlined. */
#pragma once

#include "launch/config/node.h"

/* PLACE_ERROR(place, format, ...): a failed STATUS_CONFIG. The message's first line is complete in
 * itself. */
#define PLACE_ERROR(place, ...) place_error((place), __FILE__, __LINE__, __VA_ARGS__)

NODISCARD Status place_error(Place place, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A user's text, made safe for a message: at most 60 bytes, control characters as '?'. From the
 * arena; never NULL. */
const char *shown(Arena *arena, const char *text);

/* `'X'`, or `a list`, or `a map`: the content of a node, for a message. */
const char *shown_node(Arena *arena, const YamlNode *node);
