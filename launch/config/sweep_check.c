/* The rules of a sweep: keys, values, duplicates, sizes. */
#include "launch/config/branch.h"
#include "launch/config/diagnostic.h"
#include "launch/config/schema.h"
#include "launch/config/sweep_points.h"
#include "launch/config/sweep_value.h"

#include <string.h>

enum { MAX_POINTS = 4096 };

/* ---- tune, branch, budgets ------------------------------------------------------------------- */

/* The trunk and its branches. */
static Status branch_check(Arena *arena, const YamlNode *map, const Config *config, size_t *count) {
    Branch *branch = arena_alloc(arena, sizeof *branch);
    if (branch == NULL) return OUT_OF_MEMORY("a config");
    TRY(branch_read(arena, map, config, branch));
    *count = 1 + (size_t)branch->n_forks * (size_t)branch->count;
    return OK;
}

/* The number of points of a map without its other keys: of candidates, or of a trunk and its
 * branches; 1 without a block. */
static Status block_check(Arena *arena, const YamlNode *map, const Config *config, size_t *count) {
    const YamlNode *node = node_find(map, "tune");
    Tune tune;
    *count = 1;
    if (branch_is_in(map)) return branch_check(arena, map, config, count);
    if (node == NULL) return OK;
    TRY(tune_read(arena, node, &tune));
    *count = (size_t)tune.count;
    for (int i = 0; i < tune.n_axes; i++) {
        if (node_find(map, tune.axes[i].key) == NULL) continue;
        return PLACE_ERROR(node_find(node, tune.axes[i].key)->key_place,
                           "'%s' is both swept and tuned; choose one", tune.axes[i].key);
    }
    return OK;
}

/* ---- a list of points ------------------------------------------------------------------------ */

/* The settings of a listed point as one text, in the order of the schema, with one of its seeds. */
static Status point_identity(Arena *arena, const YamlNode *point, const YamlNode *seed,
                             const char **out) {
    *out = "";
    for (size_t i = 0; i < schema_count; i++) {
        const YamlNode *value = node_find(point, schema[i].path);
        if (value == NULL) continue;
        const char *text;
        if (strcmp(value->key, "seed") == 0) value = seed;
        TRY(sweep_value_read(arena, schema[i].path, value, &text));
        *out = arena_printf(arena, "%s %s=%s", *out, schema[i].path, text);
        if (*out == NULL) return OUT_OF_MEMORY("a config");
    }
    return OK;
}

/* `seen` has the number of the point of each identity. */
static Status identity_add(Arena *arena, Names *seen, const YamlNode *point, const YamlNode *seed,
                           size_t number) {
    const char *identity;
    TRY(point_identity(arena, point, seed, &identity));
    void **first = names_add(seen, arena, identity);
    if (first == NULL) return OUT_OF_MEMORY("a config");
    if (*first != NULL) {
        return PLACE_ERROR(point->place, "points %zu and %zu of the sweep are the same",
                           (size_t)*first, number);
    }
    *first = (void *)number;
    return OK;
}

static Status check_point(Arena *arena, Names *seen, const YamlNode *point, size_t number) {
    if (point->kind != NODE_MAP || point->first == NULL) {
        return PLACE_ERROR(point->place,
                           "a sweep's point needs a map such as {data.batch_size: 12}, not %s",
                           point->kind == NODE_MAP ? "an empty one" : shown_node(arena, point));
    }
    for (const YamlNode *value = point->first; value != NULL; value = value->next)
        if (!sweep_is_block(value)) TRY(sweep_key_check(arena, value));
    const YamlNode *seed = node_find(point, "seed");
    if (seed == NULL || seed->kind != NODE_LIST)
        return identity_add(arena, seen, point, seed, number);
    TRY(sweep_list_check(arena, seed));
    for (const YamlNode *each = seed->first; each != NULL; each = each->next)
        TRY(identity_add(arena, seen, point, each, number));
    return OK;
}

static Status too_many(const YamlNode *sweep, size_t count) {
    if (count <= MAX_POINTS) return OK;
    return PLACE_ERROR(sweep->place, "the sweep has more than %d points", MAX_POINTS);
}

static Status check_list(Arena *arena, const YamlNode *sweep, const Config *config) {
    Names seen = {0};
    size_t number = 0, total = 0, count;
    for (const YamlNode *point = sweep->first; point != NULL; point = point->next) {
        TRY(check_point(arena, &seen, point, ++number));
        TRY(block_check(arena, point, config, &count));
        size_t seeds = sweep_seed_count(point);
        total += branch_is_in(point) ? count * seeds : count + seeds - 1;
        TRY(too_many(sweep, total));
    }
    return OK;
}

/* ---- a grid ---------------------------------------------------------------------------------- */

static Status check_grid(Arena *arena, const YamlNode *sweep, const Config *config) {
    size_t count;
    for (const YamlNode *axis = sweep->first; axis != NULL; axis = axis->next) {
        if (sweep_is_block(axis)) continue;
        TRY(sweep_key_check(arena, axis));
        TRY(sweep_list_check(arena, axis));
    }
    TRY(block_check(arena, sweep, config, &count));
    for (const YamlNode *axis = sweep->first; axis != NULL; axis = axis->next) {
        if (!sweep_is_block(axis)) count *= axis->count;
        TRY(too_many(sweep, count));
    }
    return OK;
}

static Status check(Arena *arena, const YamlNode *sweep, const Config *config) {
    if (sweep->kind == NODE_SCALAR || sweep->first == NULL) {
        return PLACE_ERROR(sweep->place, "'sweep' needs a map of keys to lists, or a list of maps");
    }
    return sweep->kind == NODE_LIST ? check_list(arena, sweep, config)
                                    : check_grid(arena, sweep, config);
}

Status sweep_check(const Config *config) {
    if (config->sweep == NULL) return OK;
    Arena arena = {0};
    Status status = check(&arena, config->sweep, config);
    arena_free(&arena);
    return status;
}
