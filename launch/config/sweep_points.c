#include "launch/config/sweep_points.h"

#include "launch/config/schema.h"
#include "launch/config/sweep_value.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 120 };

/* ---- a point --------------------------------------------------------------------------------- */

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

static Status setting_make(Arena *arena, const char *key, const YamlNode *value,
                           SweepSetting *out) {
    out->key = key;
    return sweep_value_read(arena, key, value, &out->text);
}

/* Numbers distinguish names that were cut or cleaned to the same text. `names` keeps the last
 * number of each text. */
static Status point_name(SweepPoints *points, SweepPoint *point, const char *name) {
    Arena *arena = &points->arena;
    point->stem = point->name = arena_strdup(arena, name);
    void **last = point->name == NULL ? NULL : names_add(&points->names, arena, point->name),
         **place = last;
    size_t number = last == NULL || *last == NULL ? 1 : (size_t)*last;
    while (place != NULL && (*place != NULL || *point->name == '\0')) {
        point->name = arena_printf(arena, "%s_%zu", name, ++number);
        place = point->name == NULL ? NULL : names_add(&points->names, arena, point->name);
    }
    if (place == NULL) return OUT_OF_MEMORY("a config");
    *place = (void *)(size_t)1;
    *last = (void *)number;
    return OK;
}

/* `start` begins the name; `others` are n further overrides, which are not in the name. */
static Status point_make_with(SweepPoints *points, const char *start, const SweepSetting *settings,
                              int count, char *const *others, int n, SweepPoint *out) {
    char name[NAME_BYTES];
    Arena *arena = &points->arena;
    snprintf(name, sizeof name, "%s", start);
    *out = (SweepPoint){.combination = -1, .n_overrides = count + n, .n_keys = count};
    out->overrides = arena_alloc(arena, (size_t)(count + n + 1) * sizeof *out->overrides);
    if (out->overrides == NULL) return OUT_OF_MEMORY("a config");
    for (int i = 0; i < count; i++) {
        add_name(name, settings[i].key, settings[i].text);
        out->overrides[i] = arena_printf(arena, "%s=%s", settings[i].key, settings[i].text);
        if (out->overrides[i] == NULL) return OUT_OF_MEMORY("a config");
    }
    for (int i = 0; i < n; i++) out->overrides[count + i] = others[i];
    return point_name(points, out, name);
}

static Status point_make(SweepPoints *points, const SweepSetting *settings, int count,
                         SweepPoint *out) {
    return point_make_with(points, "", settings, count, NULL, 0, out);
}

Status sweep_combine(SweepPoints *points, int combination, const char *const *tuned, int seed,
                     SweepPoint *out) {
    const SweepCombination *c = &points->combinations[combination];
    int count = c->n_settings;
    SweepSetting *all = arena_alloc(&points->arena, (size_t)(count + TUNE_AXES + 1) * sizeof *all);
    if (all == NULL) return OUT_OF_MEMORY("a config");
    for (int i = 0; i < count; i++) all[i] = c->settings[i];
    for (int i = 0; i < c->tune.n_axes; i++)
        all[count++] = (SweepSetting){c->tune.axes[i].key, tuned[i]};
    if (c->seeds != NULL) all[count++] = (SweepSetting){"seed", c->seeds[seed]};
    TRY(point_make(points, all, count, out));
    out->combination = combination;
    for (int i = 0; i < c->tune.n_axes; i++) out->tuned[i] = tuned[i];
    return OK;
}

/* ---- room ------------------------------------------------------------------------------------ */

static Status reserve(void *items, Arena *arena, int count, size_t bytes) {
    void *grown = arena_alloc(arena, (size_t)count * bytes);
    memcpy(items, &grown, sizeof grown);
    return grown == NULL ? OUT_OF_MEMORY("a config") : OK;
}

/* The next point, in room that doubles. */
static Status point_add(SweepPoints *points, SweepPoint **out) {
    int count = points->count;
    if ((count & (count - 1)) == 0) {
        SweepPoint *before = points->points;
        TRY(reserve(&points->points, &points->arena, count == 0 ? 1 : 2 * count, sizeof *before));
        if (count > 0) memcpy(points->points, before, (size_t)count * sizeof *before);
    }
    *out = &points->points[points->count++];
    return OK;
}

/* ---- tuned combinations ---------------------------------------------------------------------- */

static Status seeds_read(Arena *arena, const YamlNode *map, SweepCombination *out) {
    const YamlNode *seed = node_find(map, "seed");
    out->n_seeds = (int)sweep_seed_count(map);
    if (seed == NULL) return OK;
    const YamlNode *first = seed->kind == NODE_LIST ? seed->first : seed;
    TRY(reserve(&out->seeds, arena, out->n_seeds, sizeof *out->seeds));
    for (int i = 0; i < out->n_seeds; i++, first = first->next)
        TRY(sweep_value_read(arena, "seed", first, &out->seeds[i]));
    return OK;
}

/* Adds the combination with these settings, and its candidates; the last key varies fastest. */
static Status combination_add(SweepPoints *points, const YamlNode *map, SweepSetting *settings,
                              int count) {
    Arena *arena = &points->arena;
    int index = points->n_combinations++;
    SweepCombination *c = &points->combinations[index];
    *c = (SweepCombination){.settings = settings, .n_settings = count};
    TRY(tune_read(arena, node_find(map, "tune"), &c->tune));
    TRY(seeds_read(arena, map, c));
    for (int i = 0; i < c->tune.count; i++) {
        const char *tuned[TUNE_AXES];
        int stride = c->tune.count;
        for (int k = 0; k < c->tune.n_axes; k++) {
            const TuneAxis *axis = &c->tune.axes[k];
            stride /= axis->count;
            tuned[k] = axis->texts[i / stride % axis->count];
        }
        SweepPoint *point;
        TRY(point_add(points, &point));
        TRY(sweep_combine(points, index, tuned, 0, point));
    }
    return OK;
}

/* Whether a key of a map sets a value of its points. Seeds of tuned ones are added later. */
static bool is_setting(const YamlNode *node, bool tuned) {
    return !sweep_is_block(node) && !(tuned && strcmp(node->key, "seed") == 0);
}

/* ---- trunks ---------------------------------------------------------------------------------- */

/* The trunk of budgets has no decay, and ends where the last of its branches starts. */
static Status trunk_overrides(Arena *arena, const Branch *branch, char *out[4], int *n) {
    *n = 0;
    if (branch->unit_key == NULL) return OK;
    TRY(branch_stops_clear(arena, branch, out, n));
    char *stop = out[(*n)++] = branch_stop_text(arena, &branch->forks[branch->n_forks - 1].cut),
         *shape = out[(*n)++] = arena_strdup(arena, "lr_scheduler.shape=constant");
    return stop == NULL || shape == NULL ? OUT_OF_MEMORY("a config") : OK;
}

static Status trunk_add(SweepPoints *points, const YamlNode *map, const Config *config,
                        SweepSetting *settings, int count) {
    SweepTrunk *trunk = &points->trunks[points->n_trunks++];
    SweepPoint *point;
    char *others[4];
    int n;
    *trunk = (SweepTrunk){.settings = settings, .n_settings = count, .point = -1};
    TRY(branch_read(&points->arena, map, config, &trunk->branch));
    if (trunk->branch.run != NULL) return OK;
    trunk->point = points->count;
    TRY(trunk_overrides(&points->arena, &trunk->branch, others, &n));
    TRY(point_add(points, &point));
    return point_make_with(points, "trunk", settings, count, others, n, point);
}

Status sweep_branch(SweepPoints *points, int index, int fork, int combination, char *const *others,
                    int n, SweepPoint *out) {
    const SweepTrunk *trunk = &points->trunks[index];
    const Branch *b = &trunk->branch;
    Arena *arena = &points->arena;
    int count = trunk->n_settings, stride = b->count;
    SweepSetting *all;
    TRY(reserve(&all, arena, count + BRANCH_AXES + 1, sizeof *all));
    for (int i = 0; i < count; i++) all[i] = trunk->settings[i];
    if (b->unit_key != NULL) all[count++] = (SweepSetting){b->unit_key, b->forks[fork].text};
    for (int i = 0; i < b->n_axes; i++) {
        stride /= b->axes[i].count;
        all[count++] = (SweepSetting){b->axes[i].key,
                                      b->axes[i].texts[combination / stride % b->axes[i].count]};
    }
    char start[NAME_BYTES] = "";
    if (b->unit_key == NULL) add_name(start, "at", b->forks[fork].text);
    return point_make_with(points, start, all, count, others, n, out);
}

/* Adds what a map makes of the values of its other keys: a tuned combination, a trunk, or a
 * point. */
static Status settings_add(SweepPoints *points, const YamlNode *map, const Config *config,
                           SweepSetting *settings, int count) {
    SweepPoint *point;
    if (node_find(map, "tune") != NULL) return combination_add(points, map, settings, count);
    if (branch_is_in(map)) return trunk_add(points, map, config, settings, count);
    TRY(point_add(points, &point));
    return point_make(points, settings, count, point);
}

/* ---- a list of points ------------------------------------------------------------------------ */

static Status settings_read(Arena *arena, const YamlNode *point, const YamlNode *seed, bool tuned,
                            SweepSetting **out, int *count) {
    TRY(reserve(out, arena, (int)point->count + 1, sizeof **out));
    *count = 0;
    for (const YamlNode *value = point->first; value != NULL; value = value->next) {
        bool is_seed = strcmp(value->key, "seed") == 0;
        if (!is_setting(value, tuned)) continue;
        TRY(setting_make(arena, value->key, is_seed ? seed : value, &(*out)[(*count)++]));
    }
    return OK;
}

static Status listed_add(SweepPoints *points, const YamlNode *listed, const YamlNode *seed,
                         const Config *config) {
    SweepSetting *settings;
    int count;
    bool is_tuned = node_find(listed, "tune") != NULL;
    TRY(settings_read(&points->arena, listed, seed, is_tuned, &settings, &count));
    return settings_add(points, listed, config, settings, count);
}

/* The trunks of a list: each seed has its own. */
static int trunks_listed(const YamlNode *sweep) {
    size_t count = 0;
    for (const YamlNode *listed = sweep->first; listed != NULL; listed = listed->next)
        if (branch_is_in(listed)) count += sweep_seed_count(listed);
    return (int)count;
}

static Status expand_list(SweepPoints *points, const YamlNode *sweep, const Config *config) {
    TRY(reserve(&points->combinations, &points->arena, (int)sweep->count,
                sizeof *points->combinations));
    TRY(reserve(&points->trunks, &points->arena, trunks_listed(sweep) + 1, sizeof *points->trunks));
    for (const YamlNode *listed = sweep->first; listed != NULL; listed = listed->next) {
        const YamlNode *seed = node_find(listed, "seed"), *each = seed;
        if (seed != NULL && seed->kind == NODE_LIST) each = seed->first;
        do {
            TRY(listed_add(points, listed, each, config));
            each = each == NULL || each == seed ? NULL : each->next;
        } while (each != NULL && node_find(listed, "tune") == NULL);
    }
    return OK;
}

/* ---- a grid ---------------------------------------------------------------------------------- */

/* Axis of a grid: its settings. */
typedef struct GridAxis {
    SweepSetting *settings;
    int count;
} GridAxis;

static Status axis_make(Arena *arena, const YamlNode *axis, GridAxis *out) {
    out->count = (int)axis->count;
    TRY(reserve(&out->settings, arena, out->count, sizeof *out->settings));
    SweepSetting *setting = out->settings;
    for (const YamlNode *value = axis->first; value != NULL; value = value->next)
        TRY(setting_make(arena, axis->key, value, setting++));
    return OK;
}

/* The axes of a grid; if it is tuned, those of its combinations. */
static Status axes_make(Arena *arena, const YamlNode *sweep, bool tuned, GridAxis **out, int *n,
                        int *count) {
    TRY(reserve(out, arena, (int)sweep->count, sizeof **out));
    *n = 0;
    *count = 1;
    for (const YamlNode *axis = sweep->first; axis != NULL; axis = axis->next) {
        if (!is_setting(axis, tuned)) continue;
        TRY(axis_make(arena, axis, &(*out)[*n]));
        *count *= (*out)[(*n)++].count;
    }
    return OK;
}

static Status expand_grid(SweepPoints *points, const YamlNode *sweep, const Config *config) {
    GridAxis *axes;
    int n, count;
    bool is_tuned = node_find(sweep, "tune") != NULL;
    Arena *arena = &points->arena;
    TRY(axes_make(arena, sweep, is_tuned, &axes, &n, &count));
    TRY(reserve(&points->combinations, arena, count, sizeof *points->combinations));
    TRY(reserve(&points->trunks, arena, branch_is_in(sweep) ? count : 1, sizeof *points->trunks));
    for (int i = 0; i < count; i++) {
        SweepSetting *settings;
        int stride = count;
        TRY(reserve(&settings, arena, n + 1, sizeof *settings));
        for (int k = 0; k < n; k++) {
            stride /= axes[k].count;
            settings[k] = axes[k].settings[i / stride % axes[k].count];
        }
        TRY(settings_add(points, sweep, config, settings, n));
    }
    return OK;
}

static Status expand(const Config *config, SweepPoints *points) {
    const YamlNode *sweep = config->sweep;
    SweepPoint *point;
    TRY(sweep_check(config));
    if (sweep != NULL && sweep->kind == NODE_LIST) return expand_list(points, sweep, config);
    if (sweep != NULL) return expand_grid(points, sweep, config);
    TRY(point_add(points, &point));
    *point = (SweepPoint){.combination = -1};
    return point_name(points, point, config->name);
}

Status sweep_expand(const Config *config, SweepPoints **out) {
    *out = NULL;
    SweepPoints *points = calloc(1, sizeof *points);
    if (points == NULL) return OUT_OF_MEMORY("a config");
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
