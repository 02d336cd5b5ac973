#include "launch/config/node.h"

#include <string.h>

YamlNode *node_create(Arena *arena, NodeKind kind, Place place) {
    YamlNode *node = arena_alloc(arena, sizeof *node);
    if (node == NULL) return NULL;
    node->kind = kind;
    node->place = place;
    return node;
}

YamlNode *node_scalar(Arena *arena, const char *text, Place place) {
    YamlNode *node = node_create(arena, NODE_SCALAR, place);
    char *copy = arena_strdup(arena, text);
    if (node == NULL || copy == NULL) return NULL;
    node->text = copy;
    return node;
}

void node_append(YamlNode *parent, YamlNode *child) {
    child->next = NULL;
    if (parent->last == NULL) {
        parent->first = child;
    } else {
        parent->last->next = child;
    }
    parent->last = child;
}

void node_remove(YamlNode *map, const char *key) {
    YamlNode *previous = NULL;
    for (YamlNode *child = map->first; child != NULL; previous = child, child = child->next) {
        if (strcmp(child->key, key) != 0) continue;
        if (previous == NULL) {
            map->first = child->next;
        } else {
            previous->next = child->next;
        }
        if (map->last == child) map->last = previous;
        return;
    }
}

static YamlNode *find(const YamlNode *map, const char *key, size_t bytes) {
    if (map->kind != NODE_MAP) return NULL;
    for (YamlNode *child = map->first; child != NULL; child = child->next) {
        if (strncmp(child->key, key, bytes) == 0 && child->key[bytes] == '\0') return child;
    }
    return NULL;
}

YamlNode *node_find(const YamlNode *map, const char *key) { return find(map, key, strlen(key)); }

YamlNode *node_find_path(const YamlNode *map, const char *path) {
    for (;;) {
        size_t bytes = strcspn(path, ".");
        YamlNode *child = find(map, path, bytes);
        if (child == NULL || path[bytes] == '\0') return child;
        map = child;
        path += bytes + 1;
    }
}

Status node_put(Arena *arena, YamlNode *root, const char *path, YamlNode *node) {
    YamlNode *map = root;
    for (size_t bytes = strcspn(path, "."); path[bytes] != '\0'; bytes = strcspn(path, ".")) {
        YamlNode *child = find(map, path, bytes);
        if (child == NULL) {
            child = node_create(arena, NODE_MAP, node->place);
            if (child == NULL) return ERROR(STATUS_NO_ROOM, "out of memory");
            child->key = arena_printf(arena, "%.*s", (int)bytes, path);
            if (child->key == NULL) return ERROR(STATUS_NO_ROOM, "out of memory");
            child->key_place = node->key_place;
            child->is_default = node->is_default;
            node_append(map, child);
        }
        map = child;
        path += bytes + 1;
    }
    node->key = arena_strdup(arena, path);
    if (node->key == NULL) return ERROR(STATUS_NO_ROOM, "out of memory");
    node_append(map, node);
    return OK;
}

bool node_is_null(const YamlNode *node) {
    if (node->kind != NODE_SCALAR || node->quoted) return false;
    static const char *const spellings[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        if (strcmp(node->text, spellings[i]) == 0) return true;
    }
    return false;
}

size_t node_count(const YamlNode *parent) {
    size_t count = 0;
    for (const YamlNode *child = parent->first; child != NULL; child = child->next) count++;
    return count;
}

static Status merge_child(Arena *arena, YamlNode *base, YamlNode *child) {
    YamlNode *old = node_find(base, child->key);
    if (node_is_null(child)) {
        node_remove(base, child->key);
        return OK;
    }
    if (child->kind != NODE_MAP) {
        if (old != NULL) node_remove(base, child->key);
        node_append(base, child);
        return OK;
    }
    if (old == NULL || old->kind != NODE_MAP) {
        /* Merged onto an empty map rather than taken whole, so that the nulls inside are dropped. */
        if (old != NULL) node_remove(base, child->key);
        old = node_create(arena, NODE_MAP, child->place);
        if (old == NULL) return ERROR(STATUS_NO_ROOM, "out of memory");
        old->key = child->key;
        old->key_place = child->key_place;
        node_append(base, old);
    }
    return node_merge(arena, old, child);
}

Status node_merge(Arena *arena, YamlNode *base, YamlNode *over) {
    base->place = over->place;
    for (YamlNode *child = over->first, *next; child != NULL; child = next) {
        next = child->next;
        TRY(merge_child(arena, base, child));
    }
    return OK;
}
