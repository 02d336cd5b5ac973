#include "launch/config/sweep_points.h"

#include "launch/config/diagnostic.h"
#include "launch/config/interpolate.h"
#include "launch/config/structure.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_POINTS = 4096, NAME_BYTES = 120 };

static Status out_of_memory(void) { return ERROR(STATUS_NO_ROOM, "out of memory"); }

/* Reads one swept value as its key's type. `text` is the value in its one written form, from the arena, so that
 * 0.5 and 5e-1 are seen as duplicates. */
static Status read_value(Arena *arena, const char *key, const YamlNode *value, const char **text) {
    if (node_is_null(value)) {
        *text = "null";
        return OK;
    }
    const Field *field = schema_find(key);
    Config *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) return out_of_memory();
    Status status = OK;
    char *written = NULL;
    size_t bytes;
    FILE *file = open_memstream(&written, &bytes);
    if (is_interpolated(value)) {
        if (file != NULL) node_write(value, file); /* its type shows when the point is loaded */
    } else {
        status = field_read(field, value, scratch);
        if (!failed(status) && file != NULL) field_write(field, scratch, file);
    }
    if (file != NULL) fclose(file);
    *text = written == NULL ? NULL : arena_strdup(arena, written);
    if (!failed(status) && *text == NULL) status = out_of_memory();
    free(written);
    config_destroy(&scratch);
    return status;
}

static Status check_key(Arena *arena, const YamlNode *node) {
    static const char *const refused[] = {"sweep", "name", "output", "report", "launch"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        size_t bytes = strlen(refused[i]);
        bool is_below = strncmp(node->key, refused[i], bytes) == 0 && node->key[bytes] == '.';
        if (is_below || strcmp(node->key, refused[i]) == 0)
            return PLACE_ERROR(node->key_place, "'%s' cannot be swept", node->key);
    }
    if (schema_find(node->key) != NULL) return OK;
    if (schema_is_group(node->key)) {
        return PLACE_ERROR(node->key_place, "a sweep needs whole keys such as data.batch_size, not the group '%s'",
                           node->key);
    }
    return structure_unknown(arena, node->key_place, node->key);
}

/* One grid axis: every value fits its key, and none is there twice. */
static Status check_axis(Arena *arena, const YamlNode *axis) {
    TRY(check_key(arena, axis));
    if (axis->kind != NODE_LIST || axis->first == NULL) {
        return PLACE_ERROR(axis->place, "'sweep' needs a list of values for '%s'", axis->key);
    }
    size_t count = node_count(axis), i = 0;
    const char **texts = arena_alloc(arena, count * sizeof *texts);
    if (texts == NULL) return out_of_memory();
    for (const YamlNode *value = axis->first; value != NULL; value = value->next, i++) {
        TRY(read_value(arena, axis->key, value, &texts[i]));
        for (size_t j = 0; j < i; j++) {
            if (strcmp(texts[i], texts[j]) == 0)
                return PLACE_ERROR(value->place, "'%s' has this value twice", axis->key);
        }
    }
    return OK;
}

/* A listed point's overrides, as one text in the order of the schema. */
static Status point_identity(Arena *arena, const YamlNode *point, const char **out) {
    *out = "";
    for (size_t i = 0; i < schema_count; i++) {
        const YamlNode *value = node_find(point, schema[i].path);
        if (value == NULL) continue;
        const char *text;
        TRY(read_value(arena, value->key, value, &text));
        *out = arena_printf(arena, "%s %s=%s", *out, value->key, text);
        if (*out == NULL) return out_of_memory();
    }
    return OK;
}

static Status check_list(Arena *arena, const YamlNode *sweep) {
    size_t count = node_count(sweep), i = 0;
    const char **identities = arena_alloc(arena, (count + 1) * sizeof *identities);
    if (identities == NULL) return out_of_memory();
    for (const YamlNode *point = sweep->first; point != NULL; point = point->next, i++) {
        if (point->kind != NODE_MAP || point->first == NULL) {
            return PLACE_ERROR(point->place, "a sweep's point needs a map such as {data.batch_size: 12}, not %s",
                               point->kind == NODE_MAP ? "an empty one" : shown_node(arena, point));
        }
        for (const YamlNode *value = point->first; value != NULL; value = value->next) TRY(check_key(arena, value));
        TRY(point_identity(arena, point, &identities[i]));
        for (size_t j = 0; j < i; j++) {
            if (strcmp(identities[i], identities[j]) != 0) continue;
            return PLACE_ERROR(point->place, "points %zu and %zu of the sweep are the same", j + 1, i + 1);
        }
    }
    return OK;
}

static Status grid_size(const YamlNode *sweep, size_t *out) {
    *out = 1;
    for (const YamlNode *axis = sweep->first; axis != NULL; axis = axis->next) {
        *out *= node_count(axis);
        if (*out > MAX_POINTS) return PLACE_ERROR(sweep->place, "the sweep has more than %d points", MAX_POINTS);
    }
    return OK;
}

static Status check(Arena *arena, const YamlNode *sweep) {
    if (sweep->kind == NODE_SCALAR || sweep->first == NULL) {
        return PLACE_ERROR(sweep->place, "'sweep' needs a map of keys to lists, or a list of maps");
    }
    if (sweep->kind == NODE_LIST) return check_list(arena, sweep);
    for (const YamlNode *axis = sweep->first; axis != NULL; axis = axis->next) TRY(check_axis(arena, axis));
    size_t count;
    return grid_size(sweep, &count);
}

Status sweep_check(const Config *config) {
    if (config->sweep == NULL) return OK;
    Arena arena = {0};
    Status status = check(&arena, config->sweep);
    arena_free(&arena);
    return status;
}

/* Adds `_key-value` to a point's name, in the characters a file name may safely hold. */
static void add_name(char *name, const char *key, const char *value) {
    const char *dot = strrchr(key, '.');
    char part[NAME_BYTES];
    snprintf(part, sizeof part, "%s%s-%s", *name == '\0' ? "" : "_", dot == NULL ? key : dot + 1, value);
    size_t used = strlen(name);
    for (const char *c = part; *c != '\0' && used + 1 < NAME_BYTES; c++) {
        bool is_safe = isalnum((unsigned char)*c) || strchr("._-+", *c) != NULL;
        if (is_safe) name[used++] = *c;
        if (*c == ',' || *c == '/') name[used++] = '-';
    }
    name[used] = '\0';
}

static Status add_override(SweepPoints *points, SweepPoint *point, char *name, const char *key, const YamlNode *value) {
    const char *text = NULL;
    TRY(read_value(&points->arena, key, value, &text));
    char *override = arena_printf(&points->arena, "%s=%s", key, text);
    if (override == NULL) return out_of_memory();
    point->overrides[point->n_overrides++] = override;
    add_name(name, key, text);
    return OK;
}

static bool is_taken(const SweepPoints *points, const char *name) {
    for (int i = 0; i < points->count; i++) {
        if (strcmp(points->points[i].name, name) == 0) return true;
    }
    return *name == '\0';
}

/* Names that were cut or cleaned to the same text are told apart by a number. */
static Status finish_point(SweepPoints *points, SweepPoint *point, const char *name) {
    point->name = arena_strdup(&points->arena, name);
    for (int i = 2; point->name != NULL && is_taken(points, point->name); i++) {
        point->name = arena_printf(&points->arena, "%s_%d", name, i);
    }
    points->count++;
    return point->name == NULL ? out_of_memory() : OK;
}

static Status start_point(SweepPoints *points, size_t overrides, SweepPoint **out) {
    *out = &points->points[points->count];
    (*out)->overrides = arena_alloc(&points->arena, overrides * sizeof(char *));
    return (*out)->overrides == NULL ? out_of_memory() : OK;
}

static Status expand_list(SweepPoints *points, const YamlNode *sweep) {
    for (const YamlNode *listed = sweep->first; listed != NULL; listed = listed->next) {
        SweepPoint *point;
        char name[NAME_BYTES] = "";
        TRY(start_point(points, node_count(listed), &point));
        for (const YamlNode *value = listed->first; value != NULL; value = value->next) {
            TRY(add_override(points, point, name, value->key, value));
        }
        TRY(finish_point(points, point, name));
    }
    return OK;
}

static Status expand_grid(SweepPoints *points, const YamlNode *sweep, size_t count) {
    for (size_t i = 0; i < count; i++) {
        SweepPoint *point;
        char name[NAME_BYTES] = "";
        TRY(start_point(points, node_count(sweep), &point));
        size_t stride = count;
        for (const YamlNode *axis = sweep->first; axis != NULL; axis = axis->next) {
            stride /= node_count(axis);
            const YamlNode *value = axis->first;
            for (size_t skip = i / stride % node_count(axis); skip > 0; skip--) value = value->next;
            TRY(add_override(points, point, name, axis->key, value));
        }
        TRY(finish_point(points, point, name));
    }
    return OK;
}

static Status expand(const Config *config, SweepPoints *points) {
    const YamlNode *sweep = config->sweep;
    TRY(sweep_check(config));
    size_t count = 1;
    if (sweep != NULL && sweep->kind == NODE_LIST) count = node_count(sweep);
    if (sweep != NULL && sweep->kind == NODE_MAP) TRY(grid_size(sweep, &count));
    points->points = arena_alloc(&points->arena, count * sizeof *points->points);
    if (points->points == NULL) return out_of_memory();
    if (sweep == NULL) return finish_point(points, &points->points[0], config->name);
    return sweep->kind == NODE_LIST ? expand_list(points, sweep) : expand_grid(points, sweep, count);
}

Status sweep_expand(const Config *config, SweepPoints **out) {
    *out = NULL;
    SweepPoints *points = calloc(1, sizeof *points);
    if (points == NULL) return out_of_memory();
    Status status = expand(config, points);
    if (failed(status)) {
        sweep_points_destroy(&points);
    } else {
        *out = points;
    }
    return status;
}

void sweep_points_destroy(SweepPoints **points) {
    if (points == NULL || *points == NULL) return;
    arena_free(&(*points)->arena);
    free(*points);
    *points = NULL;
}
