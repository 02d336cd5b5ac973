/* YamlNode: what a YAML text says, as a plain tree that knows where each key and value stands.
 *
 * Nodes live in an arena. A scalar stays text: the schema decides its type later. */
#pragma once

#include "core/base/arena.h"
#include "core/base/names.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>

/* The origin of what stands on the command line. */
#define COMMAND_LINE "command line"

/* One text that was read: a file, a command-line argument, or the config inside a checkpoint. */
typedef struct Source {
    const char *origin; /* how messages call it: the path, or COMMAND_LINE */
    const char *text;   /* zero-terminated UTF-8; lines end in '\n' */
    size_t bytes;
} Source;

/* Where something stands, counted from 1 in characters; line 0 means the source as a whole. */
typedef struct Place {
    const Source *source;
    size_t line, column, width;
} Place;

typedef enum NodeKind { NODE_SCALAR, NODE_LIST, NODE_MAP } NodeKind;

typedef enum NodeState { NODE_RAW, NODE_IN_PROGRESS, NODE_INTERPOLATED } NodeState;

typedef struct YamlNode YamlNode;
struct YamlNode {
    NodeKind kind;
    NodeState state;
    bool quoted;      /* a scalar in quotes or a block scalar: never null */
    bool is_default;  /* put there by the schema or a preset, not by the user */
    const char *text; /* of a scalar */
    Place place;
    const char *key; /* in a map */
    Place key_place;
    YamlNode *first, *last, *next, *previous; /* children of a list or map, and the siblings */
    size_t count;                             /* of the children */
    Names keys;                               /* of a map: its children by their keys */
};

/* A new node without children; NULL where memory is out. */
YamlNode *node_create(Arena *arena, NodeKind kind, Place place);
YamlNode *node_scalar(Arena *arena, const char *text, Place place);

/* Adds the last child; a map has none of its key yet. STATUS_FAILURE where memory is out. */
NODISCARD Status node_append(Arena *arena, YamlNode *parent, YamlNode *child);
void node_remove(YamlNode *map, const char *key);

/* A copy of a whole tree; NULL where memory is out. Texts and keys are shared. */
YamlNode *node_copy(Arena *arena, const YamlNode *node);

/* The child of a map by its key, or NULL. */
YamlNode *node_find(const YamlNode *map, const char *key);

/* The node at a dotted path below a map, or NULL. */
YamlNode *node_find_path(const YamlNode *map, const char *path);

/* Puts `node` at a dotted path below `root`, making the maps on the way; STATUS_FAILURE where
 * memory is out. */
NODISCARD Status node_put(Arena *arena, YamlNode *root, const char *path, YamlNode *node);

/* A plain `null`, `~` or nothing. */
bool node_is_null(const YamlNode *node);

/* Nodes of a whole tree. */
size_t node_size(const YamlNode *node);

/* Lays `over` on `base`, both maps: maps merge, lists and scalars replace, null removes. Takes
 * over's nodes. */
NODISCARD Status node_merge(Arena *arena, YamlNode *base, YamlNode *over);
