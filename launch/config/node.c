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

Status node_append(Arena *arena, YamlNode *parent, YamlNode *child) {
    if (parent->kind == NODE_MAP) {
        void **place = names_add(&parent->keys, arena, child->key);
        if (place == NULL) return OUT_OF_MEMORY("a config");
        *place = child;
    }
    child->next = NULL;
    child->previous = parent->last;
    *(parent->last == NULL ? &parent->first : &parent->last->next) = child;
    parent->last = child;
    parent->count++;
    return OK;
}

void node_remove(YamlNode *map, const char *key) {
    void **place = names_find(&map->keys, key, strlen(key));
    if (place == NULL || *place == NULL) return;
    YamlNode *child = *place;
    *place = NULL;
    *(child->previous == NULL ? &map->first : &child->previous->next) = child->next;
    *(child->next == NULL ? &map->last : &child->next->previous) = child->previous;
    map->count--;
}

YamlNode *node_copy(Arena *arena, const YamlNode *node) {
    YamlNode *copy = arena_alloc(arena, sizeof *copy);
    if (copy == NULL) return NULL;
    *copy = *node;
    copy->first = copy->last = NULL;
    copy->count = 0;
    copy->keys = (Names){0};
    for (const YamlNode *child = node->first; child != NULL; child = child->next) {
        YamlNode *below = node_copy(arena, child);
        if (below == NULL || failed(node_append(arena, copy, below))) return NULL;
    }
    return copy;
}

static YamlNode *find(const YamlNode *map, const char *key, size_t bytes) {
    void **place = map->kind == NODE_MAP ? names_find(&map->keys, key, bytes) : NULL;
    return place == NULL ? NULL : *place;
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
            if (child == NULL) return OUT_OF_MEMORY("a config");
            child->key = arena_printf(arena, "%.*s", (int)bytes, path);
            if (child->key == NULL) return OUT_OF_MEMORY("a config");
            child->key_place = node->key_place;
            child->is_default = node->is_default;
            TRY(node_append(arena, map, child));
        }
        map = child;
        path += bytes + 1;
    }
    node->key = arena_strdup(arena, path);
    return node->key == NULL ? OUT_OF_MEMORY("a config") : node_append(arena, map, node);
}

bool node_is_null(const YamlNode *node) {
    if (node->kind != NODE_SCALAR || node->quoted) return false;
    static const char *const spellings[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        if (strcmp(node->text, spellings[i]) == 0) return true;
    }
    return false;
}

size_t node_size(const YamlNode *node) {
    size_t size = 1;
    for (const YamlNode *child = node->first; child != NULL; child = child->next)
        size += node_size(child);
    return size;
}

static Status merge_child(Arena *arena, YamlNode *base, YamlNode *child) {
    YamlNode *old = node_find(base, child->key);
    if (child->kind == NODE_MAP && old != NULL && old->kind == NODE_MAP)
        return node_merge(arena, old, child);
    node_remove(base, child->key);
    if (node_is_null(child)) return OK;
    if (child->kind != NODE_MAP) return node_append(arena, base, child);
    /* Merged into an empty map instead of moved, so that nulls inside are dropped. */
    YamlNode *fresh = node_create(arena, NODE_MAP, child->place);
    if (fresh == NULL) return OUT_OF_MEMORY("a config");
    fresh->key = child->key;
    fresh->key_place = child->key_place;
    TRY(node_append(arena, base, fresh));
    return node_merge(arena, fresh, child);
}

Status node_merge(Arena *arena, YamlNode *base, YamlNode *over) {
    base->place = over->place;
    for (YamlNode *child = over->first, *next; child != NULL; child = next) {
        next = child->next;
        TRY(merge_child(arena, base, child));
    }
    return OK;
}
