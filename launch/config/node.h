/* YamlNode: the content of a YAML text as a plain tree, with the position of each key and value. */
#pragma once

#include "core/base/arena.h"
#include "core/base/names.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>

/* The origin of nodes from the command line. */
#define COMMAND_LINE "command line"

/* One source text: a file, a command-line argument, or the config in a checkpoint. */
typedef struct Source {
    const char *origin; /* its name in messages: the path, or COMMAND_LINE */
    const char *text;   /* zero-terminated UTF-8; lines end in '\n' */
    size_t bytes;
} Source;

/* A position, counted from 1 in characters; line 0 means the source as a whole. */
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
    bool is_default;  /* added by the schema or a preset, not by the user */
    const char *text; /* of a scalar */
    Place place;
    const char *key; /* in a map */
    Place key_place;
    YamlNode *first, *last, *next, *previous; /* children of a list or map, and the siblings */
    size_t count;                             /* of the children */
    Names keys;                               /* of a map: its children by key */
};

/* A new node without children; NULL if memory is out. */
YamlNode *node_create(Arena *arena, NodeKind kind, Place place);
YamlNode *node_scalar(Arena *arena, const char *text, Place place);

/* Adds the last child; a map must not have its key yet. STATUS_FAILURE if memory is out. */
NODISCARD Status node_append(Arena *arena, YamlNode *parent, YamlNode *child);
void node_remove(YamlNode *map, const char *key);

/* A copy of a whole tree, which shares texts and keys; NULL if memory is out. */
YamlNode *node_copy(Arena *arena, const YamlNode *node);

/* The child of a map with this key, or NULL. */
YamlNode *node_find(const YamlNode *map, const char *key);

/* The node at a dotted path below a map, or NULL. */
YamlNode *node_find_path(const YamlNode *map, const char *path);

/* Sets `node` at a dotted path below `root`; creates the maps between. STATUS_FAILURE if memory is
 * out. */
NODISCARD Status node_put(Arena *arena, YamlNode *root, const char *path, YamlNode *node);

/* Whether the node is a plain `null`, `~` or empty. */
bool node_is_null(const YamlNode *node);

/* The number of nodes in a whole tree. */
size_t node_size(const YamlNode *node);

/* Merges `over` into `base`, both maps: maps merge, lists and scalars replace, null removes. Takes
 * ownership of the nodes of `over`. */
NODISCARD Status node_merge(Arena *arena, YamlNode *base, YamlNode *over);
