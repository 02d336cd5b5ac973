#include "launch/config/sweep_points.h"

#include "launch/config/config_load.h"
#include "launch/config/diagnostic.h"
#include "launch/config/interpolate.h"
#include "launch/config/structure.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_POINTS = 4096, NAME_BYTES = 120 };

static Status out_of_memory(void) { return ERROR(STATUS_NO_ROOM, "out of memory"); }

/* Reads one swept value as its key's type. `text` is the canonical text of the value, from the
 * arena, so that 0.5 and 5e-1 are found to be duplicates. */
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
        if (file != NULL)
            node_write(value, file); /* its type is checked when the point is loaded */
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
        return PLACE_ERROR(node->key_place,
                           "a sweep needs whole keys such as data.batch_size, not the group '%s'",
                           node->key);
    }
    return structure_unknown(arena, node->key_place, node->key);
}

/* One grid axis: every value must be valid for its key and unique. */
static Status check_axis(Arena *arena, const YamlNode *axis) {
    TRY(check_key(arena, axis));
    if (axis->kind != NODE_LIST || axis->first == NULL) {
        return PLACE_ERROR(axis->place, "'sweep' needs a list of values for '%s'", axis->key);
    }
    Names seen = {0};
    for (const YamlNode *value = axis->first; value != NULL; value = value->next) {
        const char *text;
        TRY(read_value(arena, axis->key, value, &text));
        void **place = names_add(&seen, arena, text);
        if (place == NULL) return out_of_memory();
        if (*place != NULL)
            return PLACE_ERROR(value->place, "'%s' has this value twice", axis->key);
        *place = arena;
    }
    return OK;
}

/* The overrides of a listed point as one text, in the order of the schema. */
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
    Names seen = {0};
    size_t number = 0;
    for (const YamlNode *point = sweep->first; point != NULL; point = point->next) {
        const char *identity;
        number++;
        if (point->kind != NODE_MAP || point->first == NULL) {
            return PLACE_ERROR(point->place,
                               "a sweep's point needs a map such as {data.batch_size: 12}, not %s",
                               point->kind == NODE_MAP ? "an empty one" : shown_node(arena, point));
        }
        for (const YamlNode *value = point->first; value != NULL; value = value->next)
            TRY(check_key(arena, value));
        TRY(point_identity(arena, point, &identity));
        void **first = names_add(&seen, arena, identity);
        if (first == NULL) return out_of_memory();
        if (*first != NULL) {
            return PLACE_ERROR(point->place, "points %zu and %zu of the sweep are the same",
                               (size_t)*first, number);
        }
        *first = (void *)number;
    }
    return OK;
}

static Status grid_size(const YamlNode *sweep, size_t *out) {
    *out = 1;
    for (const YamlNode *axis = sweep->first; axis != NULL; axis = axis->next) {
        *out *= axis->count;
        if (*out > MAX_POINTS)
            return PLACE_ERROR(sweep->place, "the sweep has more than %d points", MAX_POINTS);
    }
    return OK;
}

static Status check(Arena *arena, const YamlNode *sweep) {
    if (sweep->kind == NODE_SCALAR || sweep->first == NULL) {
        return PLACE_ERROR(sweep->place, "'sweep' needs a map of keys to lists, or a list of maps");
    }
    if (sweep->kind == NODE_LIST) return check_list(arena, sweep);
    for (const YamlNode *axis = sweep->first; axis != NULL; axis = axis->next)
        TRY(check_axis(arena, axis));
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

/* Adds `_key-value` to a point's name, in characters that are safe in a file name. */
static void add_name(char *name, const char *key, const char *value) {
    const char *dot = strrchr(key, '.');
    char part[NAME_BYTES];
    snprintf(part, sizeof part, "%s%s-%s", *name == '\0' ? "" : "_", dot == NULL ? key : dot + 1,
             value);
    size_t used = strlen(name);
    for (const char *c = part; *c != '\0' && used + 1 < NAME_BYTES; c++) {
        bool is_safe = isalnum((unsigned char)*c) || strchr("._-+", *c) != NULL;
        if (is_safe) name[used++] = *c;
        if (*c == ',' || *c == '/') name[used++] = '-';
    }
    name[used] = '\0';
}

/* Formats a swept value as an override of a point. */
typedef struct Setting {
    const char *key, *text;
    char *override;
} Setting;

static Status setting_make(Arena *arena, const char *key, const YamlNode *value, Setting *out) {
    out->key = key;
    TRY(read_value(arena, key, value, &out->text));
    out->override = arena_printf(arena, "%s=%s", key, out->text);
    return out->override == NULL ? out_of_memory() : OK;
}

static void setting_add(SweepPoint *point, const Setting *setting, char *name) {
    point->overrides[point->n_overrides++] = setting->override;
    add_name(name, setting->key, setting->text);
}

/* Numbers distinguish names that were cut or cleaned to the same text. `names` keeps the last
 * number of each text. */
static Status finish_point(SweepPoints *points, SweepPoint *point, const char *name) {
    Arena *arena = &points->arena;
    point->stem = point->name = arena_strdup(arena, name);
    void **last = point->name == NULL ? NULL : names_add(&points->names, arena, point->name),
         **place = last;
    size_t number = last == NULL || *last == NULL ? 1 : (size_t)*last;
    while (place != NULL && (*place != NULL || *point->name == '\0')) {
        point->name = arena_printf(arena, "%s_%zu", name, ++number);
        place = point->name == NULL ? NULL : names_add(&points->names, arena, point->name);
    }
    if (place == NULL) return out_of_memory();
    *place = (void *)(size_t)1;
    *last = (void *)number;
    points->count++;
    return OK;
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
        TRY(start_point(points, listed->count, &point));
        for (const YamlNode *value = listed->first; value != NULL; value = value->next) {
            Setting setting;
            TRY(setting_make(&points->arena, value->key, value, &setting));
            setting_add(point, &setting, name);
        }
        TRY(finish_point(points, point, name));
    }
    return OK;
}

static Status axis_make(Arena *arena, const YamlNode *axis, Setting **out) {
    Setting *setting = *out = arena_alloc(arena, axis->count * sizeof **out);
    if (setting == NULL) return out_of_memory();
    for (const YamlNode *value = axis->first; value != NULL; value = value->next) {
        TRY(setting_make(arena, axis->key, value, setting++));
    }
    return OK;
}

static Status expand_grid(SweepPoints *points, const YamlNode *sweep, size_t count) {
    Setting **axes = arena_alloc(&points->arena, sweep->count * sizeof *axes), **next = axes;
    if (axes == NULL) return out_of_memory();
    for (const YamlNode *axis = sweep->first; axis != NULL; axis = axis->next) {
        TRY(axis_make(&points->arena, axis, next++));
    }
    for (size_t i = 0; i < count; i++) {
        SweepPoint *point;
        char name[NAME_BYTES] = "";
        TRY(start_point(points, sweep->count, &point));
        size_t stride = count, k = 0;
        for (const YamlNode *axis = sweep->first; axis != NULL; axis = axis->next) {
            stride /= axis->count;
            setting_add(point, &axes[k++][i / stride % axis->count], name);
        }
        TRY(finish_point(points, point, name));
    }
    return OK;
}

static Status expand(const Config *config, SweepPoints *points) {
    const YamlNode *sweep = config->sweep;
    TRY(sweep_check(config));
    size_t count = 1;
    if (sweep != NULL && sweep->kind == NODE_LIST) count = sweep->count;
    if (sweep != NULL && sweep->kind == NODE_MAP) TRY(grid_size(sweep, &count));
    points->points = arena_alloc(&points->arena, count * sizeof *points->points);
    if (points->points == NULL) return out_of_memory();
    if (sweep == NULL) return finish_point(points, &points->points[0], config->name);
    return sweep->kind == NODE_LIST ? expand_list(points, sweep)
                                    : expand_grid(points, sweep, count);
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
