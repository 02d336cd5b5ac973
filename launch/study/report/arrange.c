/* Assigns each point its series, its x and its seed, and aggregates the marks of a series over
 * seeds. */
#include "core/base/checked.h"
#include "core/base/names.h"
#include "launch/config/config_load.h"
#include "launch/study/report/results.h"
#include "launch/study/report/text.h"
#include "launch/study/statistics.h"
#include "launch/study/value_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *key_text(const char *key) {
    static const char *const names[][2] = {{"data.batch_size", "batch"},
                                           {"attention.backends", "backend"},
                                           {"training.stop.steps", "budget"},
                                           {"training.stop.tokens", "budget"},
                                           {"training.stop.time", "budget"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(key, names[i][0]) == 0) return names[i][1];
    }
    const char *dot = strrchr(key, '.');
    return dot == NULL ? key : dot + 1;
}

static const char *list_text(Results *s, const json_t *list) {
    const char *text = "";
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *item = value_text(s, json_array_get(list, i));
        text = i == 0 ? item : or_empty(arena_printf(&s->arena, "%s+%s", text, item));
    }
    return text;
}

const char *value_text(Results *s, const json_t *value) {
    if (json_is_string(value)) return json_string_value(value);
    if (json_is_boolean(value)) return json_is_true(value) ? "true" : "false";
    if (json_is_integer(value))
        return or_empty(arena_printf(&s->arena, "%lld", (long long)json_integer_value(value)));
    if (json_is_real(value)) return number_text(&s->arena, "%.10g", json_real_value(value));
    if (json_is_array(value)) return list_text(s, value);
    if (json_is_null(value) || value == NULL) return "default";
    char *text = json_dumps(value, JSON_COMPACT);
    const char *copy = or_empty(text == NULL ? NULL : arena_strdup(&s->arena, text));
    free(text);
    return copy;
}

/* ---- series ---------------------------------------------------------------------------------- */

static bool is_key(const char *key, const char *wanted) {
    return wanted != NULL && strcmp(key, wanted) == 0;
}

static const json_t *value_of(const Point *p, const char *key) {
    return key == NULL ? NULL : json_object_get(p->values, key);
}

static bool same(const json_t *a, const json_t *b) { return a == b || json_equal(a, b); }

/* For each point, the first point with the same value of the series key and the same x; NULL if
 * memory is out. */
static const Point **firsts_find(Results *s) {
    Names seen = {0};
    const Point **firsts = arena_alloc(&s->arena, s->n_points * sizeof *firsts);
    for (size_t i = 0; firsts != NULL && i < s->n_points; i++) {
        const Point *p = &s->points[i];
        const char *series = value_text(s, value_of(p, s->series_key)),
                   *x = value_text(s, value_of(p, s->x_key));
        const char *both = arena_printf(&s->arena, "%zu %s %s", strlen(series), series, x);
        void **place = both == NULL ? NULL : names_add(&seen, &s->arena, both);
        if (place == NULL) return NULL;
        if (*place == NULL) *place = &s->points[i];
        firsts[i] = *place;
    }
    return firsts;
}

static bool has_text(const json_t *list, const char *text) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        if (json_is_string(item) && strcmp(json_string_value(item), text) == 0) return true;
    }
    return false;
}

/* Whether the key is tuned somewhere in the study; a listed point may set it, too. */
static bool is_tuned(const Results *s, const char *key) {
    size_t i;
    json_t *tuning;
    json_array_foreach(json_object_get(s->root, "tuning"), i, tuning) {
        if (has_text(json_object_get(tuning, "keys"), key)) return true;
    }
    return false;
}

/* Whether a point has the values of a candidate, except the seed and the keys of `but`. */
static bool agrees(const Point *p, const json_t *candidate, const json_t *but) {
    json_t *values = json_object_get(candidate, "values"), *value;
    const char *key;
    json_object_foreach(values, key, value) {
        if (is_key(key, "seed") || has_text(but, key)) continue;
        if (!same(value, value_of(p, key))) return false;
    }
    return true;
}

/* Whether a point is the best of a tuning, or another seed of it. Before there is a best, all
 * candidates are. */
static bool is_best(const Point *p, const json_t *tuning) {
    const char *best = json_string_value(json_object_get(tuning, "best"));
    size_t i;
    json_t *candidate;
    json_array_foreach(json_object_get(tuning, "candidates"), i, candidate) {
        const char *name = json_string_value(json_object_get(candidate, "name"));
        bool may_be = best == NULL || (name != NULL && strcmp(name, best) == 0);
        if (may_be && agrees(p, candidate, NULL)) return true;
    }
    return false;
}

/* Whether the key of a point was tuned, so that its value follows from the others: unlike that of a
 * listed point, or of one that two grids were tuned for. */
static bool follows(const Results *s, const Point *p, const char *key) {
    size_t i, grids = 0;
    bool found = false;
    json_t *tuning;
    json_array_foreach(json_object_get(s->root, "tuning"), i, tuning) {
        const json_t *keys = json_object_get(tuning, "keys");
        if (!has_text(keys, key)) continue;
        grids += agrees(p, json_array_get(json_object_get(tuning, "candidates"), 0), keys);
        found = found || is_best(p, tuning);
    }
    return found && grids == 1;
}

/* Whether `key` distinguishes points that would otherwise be mixed: some share series and x but
 * differ in it. A key that varies only together with those, such as an interval that is shorter for
 * a larger batch, makes no series. */
static bool tells_apart(const Results *s, const Point **firsts, const char *key) {
    if (s->series_key == NULL) return true;
    for (size_t i = 0; i < s->n_points; i++) {
        const Point *p = &s->points[i], *first = firsts[i];
        bool was_tuned = follows(s, p, key);
        if (was_tuned != follows(s, first, key)) return true;
        if (!was_tuned && !same(value_of(p, key), value_of(first, key))) return true;
    }
    return false;
}

/* The swept keys, except x and seed, that distinguish points, each once; the caller calls
 * json_decref. */
static json_t *keys_of_series(Results *s) {
    const Point **firsts = firsts_find(s);
    json_t *keys = firsts == NULL ? NULL : json_object(), *value;
    const char *key;
    for (size_t i = 0; keys != NULL && i < s->n_points; i++) {
        const Point *p = &s->points[i];
        json_object_foreach(p->values, key, value) {
            bool is_placed =
                is_key(key, s->series_key) || is_key(key, s->x_key) || is_key(key, "seed");
            if (is_placed || json_object_get(keys, key) != NULL || follows(s, p, key)) continue;
            json_object_set_new(keys, key, json_boolean(tells_apart(s, firsts, key)));
        }
    }
    return keys;
}

/* The value of the series key, then all other values that differ, so that only points of different
 * seeds share a series. */
static const char *series_of(Results *s, const Point *p, const json_t *keys) {
    const json_t *first = s->series_key == NULL ? NULL : json_object_get(p->values, s->series_key);
    const char *label = first == NULL ? "" : value_text(s, first), *key;
    json_t *value;
    json_object_foreach(p->values, key, value) {
        if (!json_is_true(json_object_get(keys, key))) continue;
        bool plain = *label == 0 && json_is_array(value);
        const char *text = follows(s, p, key) ? "tuned" : value_text(s, value),
                   *comma = *label == 0 ? "" : ", ";
        label =
            plain
                ? text
                : or_empty(arena_printf(&s->arena, "%s%s%s %s", label, comma, key_text(key), text));
    }
    return label;
}

/* Names in order of first appearance. */
typedef struct Index {
    Names seen;
    const char **names;
    int *count;
} Index;

/* The index of `name`, which is added if new; -1 if memory is out. */
static int index_of(Arena *arena, Index *index, const char *name) {
    void **place = names_add(&index->seen, arena, name);
    if (place == NULL) return -1;
    if (*place == NULL) {
        index->names[(*index->count)++] = name;
        *place = (void *)(size_t)*index->count;
    }
    return (int)(size_t)*place - 1;
}

/* ---- x --------------------------------------------------------------------------------------- */

/* The default x: the batch size, or else the first number that the sweep sets. */
static const char *x_key_guess(const Results *s) {
    json_t *values = s->n_points == 0 ? NULL : s->points[0].values, *value;
    const char *key;
    if (json_object_get(values, "data.batch_size") != NULL) return "data.batch_size";
    json_object_foreach(values, key, value) {
        if (json_is_number(value) && !is_key(key, "seed") && !is_key(key, s->series_key) &&
            !is_tuned(s, key))
            return key;
    }
    return NULL;
}

static bool is_batch(const char *key) { return is_key(key, "data.batch_size"); }

static Status config_of(Results *s, const Point *p, Config **out) {
    const char *path = arena_printf(&s->arena, "%s/config.yaml", p->directory);
    *out = NULL;
    return path == NULL ? OUT_OF_MEMORY("a report") : config_load(path, 0, NULL, out);
}

/* The points of a list may set different keys: x is then that of the resolved config, which a run
 * has that has started. */
static void x_complete(Results *s) {
    bool has_own = s->x_key == NULL || is_batch(s->x_key); /* see x_number */
    const Field *field = has_own ? NULL : schema_find(s->x_key);
    for (size_t i = 0; i < s->n_points && field != NULL; i++) {
        const Point *p = &s->points[i];
        Config *config;
        if (value_of(p, s->x_key) != NULL || failed(config_of(s, p, &config))) continue;
        json_object_set_new(p->values, s->x_key, config_value_json(field, config));
        config_destroy(&config);
    }
}

static double x_number(const Results *s, const Point *p) {
    const json_t *value = s->x_key == NULL ? NULL : json_object_get(p->values, s->x_key);
    if (json_is_number(value)) return json_number_value(value);
    return is_batch(s->x_key) ? p->batch : NAN; /* `auto` has been resolved */
}

static bool x_is_category(const Results *s) {
    if (s->x_key == NULL || is_batch(s->x_key)) return false;
    for (size_t i = 0; i < s->n_points; i++) {
        const json_t *value = value_of(&s->points[i], s->x_key);
        bool waits = value == NULL && !point_is(&s->points[i], "done");
        if (!json_is_number(value) && !waits) return true;
    }
    return false;
}

static Status x_place(Results *s) {
    bool category = x_is_category(s) || s->x_key == NULL;
    if (category) s->x_names = arena_alloc(&s->arena, s->n_points * sizeof *s->x_names);
    if (category && s->x_names == NULL) return OUT_OF_MEMORY("a report");
    Index index = {.names = s->x_names, .count = &s->n_x_names};
    for (size_t i = 0; i < s->n_points; i++) {
        Point *p = &s->points[i];
        const char *name =
            s->x_key == NULL ? "" : value_text(s, json_object_get(p->values, s->x_key));
        p->x = category ? index_of(&s->arena, &index, name) : x_number(s, p);
        if (category && p->x < 0) return OUT_OF_MEMORY("a report");
    }
    return OK;
}

/* ---- the budget ------------------------------------------------------------------------------ */

/* "": several rules, of which any may have ended the run, or a run that ends early. */
static const char *budget_of(Results *s, const Config *config) {
    const ConfigStop *stop = &config->training.stop;
    int rules = (stop->time > 0) + (stop->tokens > 0) + (stop->steps > 0);
    if (rules != 1 || !(stop->early.percent >= 100)) return "";
    if (stop->time > 0)
        return or_empty(
            arena_printf(&s->arena, "%s of training", seconds_text(&s->arena, stop->time)));
    if (stop->tokens > 0)
        return or_empty(
            arena_printf(&s->arena, "%s tokens", count_text(&s->arena, (double)stop->tokens)));
    return or_empty(arena_printf(&s->arena, "%lld steps", (long long)stop->steps));
}

/* Sets the budget from the resolved configs, if they agree. */
static void budget_find(Results *s) {
    const char *found = NULL;
    for (size_t i = 0; i < s->n_points; i++) {
        Config *config;
        if (failed(config_of(s, &s->points[i], &config))) continue;
        const char *budget = budget_of(s, config);
        config_destroy(&config);
        if (found != NULL && strcmp(found, budget) != 0) return;
        found = budget;
    }
    if (found != NULL) s->budget = found;
}

Status results_arrange(Results *s) {
    if (s->x_key == NULL) s->x_key = x_key_guess(s);
    x_complete(s);
    s->series_names = arena_alloc(&s->arena, s->n_points * sizeof *s->series_names);
    json_t *keys = keys_of_series(s);
    Index index = {.names = s->series_names, .count = &s->n_series};
    bool whole = s->series_names != NULL && keys != NULL;
    for (size_t i = 0; i < s->n_points && whole; i++) {
        Point *p = &s->points[i];
        p->series = series_of(s, p, keys);
        p->series_index = index_of(&s->arena, &index, p->series);
        whole = p->series_index >= 0;
    }
    json_decref(keys);
    if (!whole) return OUT_OF_MEMORY("a report");
    TRY(x_place(s));
    budget_find(s);
    return OK;
}

/* ---- marks ----------------------------------------------------------------------------------- */

/* `values`: those of the mark so far, with space for one more; mark_finish sets their mean. */
static void mark_add(Mark *mark, const Point *p, double value, double *values) {
    mark->points++;
    mark->oom += point_is(p, "oom");
    mark->failed += point_is(p, "failed");
    if (isnan(value) || !point_is(p, "done")) return;
    mark->low = mark->n == 0 ? value : fmin(mark->low, value);
    mark->high = mark->n == 0 ? value : fmax(mark->high, value);
    mark->step_low = mark->n == 0 ? p->step_tokens : fmin(mark->step_low, p->step_tokens);
    mark->step_high = mark->n == 0 ? p->step_tokens : fmax(mark->step_high, p->step_tokens);
    mark->remarked += *p->remark != '\0';
    values[mark->n++] = value;
}

static void mark_finish(Mark *mark, const double *values) {
    if (mark->n == 0) return;
    Interval mean = mean_interval(values, mark->n);
    mark->mean = mean.value;
    mark->half = mean.half;
    mark->deviation = mean.deviation;
}

typedef struct Placed {
    const Point *point;
    double x;
} Placed;

/* By series, then x, then the order of the study. */
static int placed_order(const void *a, const void *b) {
    const Placed *p = a, *q = b;
    if (p->point->series_index != q->point->series_index)
        return p->point->series_index < q->point->series_index ? -1 : 1;
    if (p->x != q->x) return p->x < q->x ? -1 : 1;
    return (p->point > q->point) - (p->point < q->point);
}

Status results_marks(Results *s, PointFn x_of, PointFn value_of_point, Mark **marks,
                     size_t *count) {
    size_t n = 0;
    double *values = arena_alloc(&s->arena, (s->n_points + 1) * sizeof *values);
    Placed *placed = arena_alloc(&s->arena, s->n_points * sizeof *placed);
    Mark *last = *marks = arena_alloc(&s->arena, (s->n_points + 1) * sizeof **marks);
    if (*marks == NULL || placed == NULL || values == NULL) return OUT_OF_MEMORY("a report");
    for (size_t i = 0; i < s->n_points; i++) {
        double x = x_of(&s->points[i]);
        if (!isnan(x)) placed[n++] = (Placed){&s->points[i], x};
    }
    qsort(placed, n, sizeof *placed, placed_order);
    for (size_t i = 0; i < n; i++) {
        const Point *p = placed[i].point;
        bool is_new = i == 0 || last->series != p->series_index || last->x != placed[i].x;
        if (is_new && i > 0) mark_finish(last++, values);
        if (is_new) *last = (Mark){.series = p->series_index, .x = placed[i].x};
        mark_add(last, p, value_of_point(p), values);
    }
    if (n > 0) mark_finish(last, values);
    *count = n == 0 ? 0 : (size_t)(last - *marks) + 1;
    return OK;
}
