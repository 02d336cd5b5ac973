#include "launch/config/structure.h"

#include "launch/config/diagnostic.h"
#include "launch/config/other_programs.h"

#include <string.h>

bool is_own_key(const char *key) { return strncmp(key, "x-", 2) == 0; }

/* Keys of older versions, and their replacements. */
static const struct {
    const char *path, *group, *key, *instead;
} retired[] = {{"evaluation.batches", "evaluation", "batches",
                "'evaluation.tokens' (a count of tokens such as 1M, or all)"}};

enum { RETIRED = sizeof retired / sizeof retired[0] };

void structure_drop_retired(YamlNode *root) {
    for (size_t i = 0; i < RETIRED; i++) {
        YamlNode *group = node_find(root, retired[i].group);
        if (group != NULL && group->kind == NODE_MAP) node_remove(group, retired[i].key);
    }
}

Status structure_unknown(Arena *arena, Place place, const char *path) {
    char buffer[64];
    for (size_t i = 0; i < RETIRED; i++) {
        if (strcmp(retired[i].path, path) != 0) continue;
        return PLACE_ERROR(place, "'%s' is gone; write %s", path, retired[i].instead);
    }
    const char *near = key_translate(path, buffer, sizeof buffer)
                           ? buffer
                           : schema_suggest(path, buffer, sizeof buffer);
    const char *name = shown(arena, path);
    if (near == NULL) {
        return PLACE_ERROR(
            place, "unknown key '%s'; docs/config.md lists all, and keys of your own begin with x-",
            name);
    }
    return PLACE_ERROR(place, "unknown key '%s'; did you mean '%s'?", name, near);
}

static Status check_key(Arena *arena, const YamlNode *child, const char *path) {
    bool is_key = schema_find(path) != NULL;
    if (!is_key && !schema_is_group(path)) return structure_unknown(arena, child->key_place, path);
    if (strchr(child->key, '.') != NULL) {
        /* In a file, `a.b: 1` would be a second way to write `a: {b: 1}`. */
        return PLACE_ERROR(child->key_place, "write '%s' as nested maps, %.*s: {...}", path,
                           (int)strcspn(child->key, "."), child->key);
    }
    if (is_key) return OK;
    if (child->kind == NODE_MAP) return structure_check(arena, child, path);
    if (node_is_null(child)) return OK;
    return PLACE_ERROR(child->place, "'%s' needs a map of its keys, not %s", path,
                       shown_node(arena, child));
}

Status structure_check(Arena *arena, const YamlNode *map, const char *prefix) {
    for (const YamlNode *child = map->first; child != NULL; child = child->next) {
        if (is_own_key(child->key)) continue;
        const char *path =
            arena_printf(arena, "%s%s%s", prefix, *prefix == '\0' ? "" : ".", child->key);
        if (path == NULL) return OUT_OF_MEMORY("a config");
        TRY(check_key(arena, child, path));
    }
    return OK;
}
