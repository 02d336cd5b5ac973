/* Where a point stands in the charts: its series, its x, its seed; and the marks of a series over seeds. */
#include "core/checked.h"
#include "launch/config/config.h"
#include "launch/report/results.h"
#include "launch/report/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *key_text(const char *key) {
    static const char *const names[][2] = {{"data.batch_size", "batch"}, {"attention.backends", "backend"}};
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
    if (json_is_integer(value)) return or_empty(arena_printf(&s->arena, "%lld", (long long)json_integer_value(value)));
    if (json_is_real(value)) return number_text(&s->arena, "%.10g", json_real_value(value));
    if (json_is_array(value)) return list_text(s, value);
    if (json_is_null(value) || value == NULL) return "default";
    char *text = json_dumps(value, JSON_COMPACT);
    const char *copy = or_empty(text == NULL ? NULL : arena_strdup(&s->arena, text));
    free(text);
    return copy;
}

/* ---- series ------------------------------------------------------------------------------------------------------ */

static bool is_key(const char *key, const char *wanted) { return wanted != NULL && strcmp(key, wanted) == 0; }

static bool same_value(const Point *a, const Point *b, const char *key) {
    const json_t *x = key == NULL ? NULL : json_object_get(a->values, key);
    const json_t *y = key == NULL ? NULL : json_object_get(b->values, key);
    return x == y || json_equal(x, y);
}

/* Whether points would be mixed without this key: some share series and x and differ in it. One that only goes along
 * with those, as an interval that a larger batch has shorter, makes no series of its own. */
static bool tells_apart(const Results *s, const char *key) {
    if (s->series_key == NULL) return true;
    for (size_t i = 0; i < s->n_points; i++) {
        for (size_t j = i + 1; j < s->n_points; j++) {
            const Point *a = &s->points[i], *b = &s->points[j];
            bool together = same_value(a, b, s->series_key) && same_value(a, b, s->x_key);
            if (together && !same_value(a, b, key)) return true;
        }
    }
    return false;
}

/* The keys of the sweep but for x and seed that tell points apart, each looked at once; for json_decref. */
static json_t *keys_of_series(const Results *s) {
    json_t *keys = json_object(), *value;
    const char *key;
    for (size_t i = 0; i < s->n_points; i++) {
        json_object_foreach(s->points[i].values, key, value) {
            bool is_placed = is_key(key, s->series_key) || is_key(key, s->x_key) || is_key(key, "seed");
            if (is_placed || json_object_get(keys, key) != NULL) continue;
            json_object_set_new(keys, key, json_boolean(tells_apart(s, key)));
        }
    }
    return keys;
}

/* The series key's value first; then whatever else differs between points, so that none but seeds are mixed. */
static const char *series_of(Results *s, const Point *p, const json_t *keys) {
    const json_t *first = s->series_key == NULL ? NULL : json_object_get(p->values, s->series_key);
    const char *label = first == NULL ? "" : value_text(s, first), *key;
    json_t *value;
    json_object_foreach(p->values, key, value) {
        if (!json_is_true(json_object_get(keys, key))) continue;
        bool plain = *label == 0 && json_is_array(value);
        const char *text = value_text(s, value), *comma = *label == 0 ? "" : ", ";
        label = plain ? text : or_empty(arena_printf(&s->arena, "%s%s%s %s", label, comma, key_text(key), text));
    }
    return label;
}

/* The index of `name` among the names seen so far, which it joins where it is new. */
static int index_of(const char **names, int *count, const char *name) {
    for (int i = 0; i < *count; i++) {
        if (strcmp(names[i], name) == 0) return i;
    }
    names[*count] = name;
    return (*count)++;
}

/* ---- x ----------------------------------------------------------------------------------------------------------- */

/* Where the study names no x: the batch size, or else the first number that the sweep sets. */
static const char *x_key_guess(const Results *s) {
    json_t *values = s->points[0].values, *value;
    const char *key;
    if (json_object_get(values, "data.batch_size") != NULL) return "data.batch_size";
    json_object_foreach(values, key, value) {
        if (json_is_number(value) && !is_key(key, "seed") && !is_key(key, s->series_key)) return key;
    }
    return NULL;
}

static bool is_batch(const char *key) { return is_key(key, "data.batch_size"); }

static double x_number(const Results *s, const Point *p) {
    const json_t *value = s->x_key == NULL ? NULL : json_object_get(p->values, s->x_key);
    if (json_is_number(value)) return json_number_value(value);
    return is_batch(s->x_key) ? p->batch : NAN; /* auto is what it was resolved to */
}

static bool x_is_category(const Results *s) {
    if (s->x_key == NULL || is_batch(s->x_key)) return false;
    for (size_t i = 0; i < s->n_points; i++) {
        const json_t *value = json_object_get(s->points[i].values, s->x_key);
        if (value != NULL && !json_is_number(value)) return true;
    }
    return false;
}

static Status x_place(Results *s) {
    bool category = x_is_category(s) || s->x_key == NULL;
    if (category) s->x_names = arena_alloc(&s->arena, s->n_points * sizeof *s->x_names);
    if (category && s->x_names == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for a report");
    for (size_t i = 0; i < s->n_points; i++) {
        Point *p = &s->points[i];
        const char *name = s->x_key == NULL ? "" : value_text(s, json_object_get(p->values, s->x_key));
        p->x = category ? index_of(s->x_names, &s->n_x_names, name) : x_number(s, p);
    }
    return OK;
}

/* ---- the budget -------------------------------------------------------------------------------------------------- */

static const char *budget_of(Results *s, const Config *config) {
    const ConfigStop *stop = &config->training.stop;
    if (stop->time > 0) return or_empty(arena_printf(&s->arena, "%s of training", seconds_text(&s->arena, stop->time)));
    if (stop->tokens > 0)
        return or_empty(arena_printf(&s->arena, "%s tokens", count_text(&s->arena, (double)stop->tokens)));
    return or_empty(arena_printf(&s->arena, "%lld steps", (long long)stop->steps));
}

/* From the resolved configs, where they agree. */
static void budget_find(Results *s) {
    for (size_t i = 0; i < s->n_points; i++) {
        Config *config = NULL;
        const char *path = arena_printf(&s->arena, "%s/config.yaml", s->points[i].directory);
        if (path == NULL || failed(config_load(path, 0, NULL, &config))) continue;
        const char *budget = budget_of(s, config);
        bool differs = *s->budget != 0 && strcmp(s->budget, budget) != 0;
        config_destroy(&config);
        s->budget = differs ? "" : budget;
        if (differs) return;
    }
}

Status results_arrange(Results *s) {
    if (s->x_key == NULL) s->x_key = x_key_guess(s);
    s->series_names = arena_alloc(&s->arena, s->n_points * sizeof *s->series_names);
    json_t *keys = keys_of_series(s);
    if (s->series_names == NULL || keys == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for a report");
    for (size_t i = 0; i < s->n_points; i++) {
        Point *p = &s->points[i];
        p->series = series_of(s, p, keys);
        p->series_index = index_of(s->series_names, &s->n_series, p->series);
    }
    json_decref(keys);
    TRY(x_place(s));
    budget_find(s);
    return OK;
}

/* ---- marks ------------------------------------------------------------------------------------------------------- */

static void mark_add(Mark *mark, const Point *p, double value) {
    mark->points++;
    mark->oom += point_is(p, "oom");
    if (isnan(value) || !point_is(p, "done")) return;
    mark->low = mark->n == 0 ? value : fmin(mark->low, value);
    mark->high = mark->n == 0 ? value : fmax(mark->high, value);
    mark->mean = (mark->mean * mark->n + value) / (mark->n + 1);
    mark->n++;
}

static int mark_order(const void *a, const void *b) {
    const Mark *x = a, *y = b;
    if (x->series != y->series) return x->series < y->series ? -1 : 1;
    return (x->x > y->x) - (x->x < y->x);
}

Status results_marks(Results *s, PointFn x_of, PointFn value_of, Mark **marks, size_t *count) {
    *count = 0;
    *marks = arena_alloc(&s->arena, s->n_points * sizeof **marks);
    if (*marks == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for a report");
    for (size_t i = 0; i < s->n_points; i++) {
        const Point *p = &s->points[i];
        double x = x_of(p);
        size_t at = 0;
        if (isnan(x)) continue;
        while (at < *count && ((*marks)[at].series != p->series_index || (*marks)[at].x != x)) at++;
        if (at == *count) (*marks)[(*count)++] = (Mark){.series = p->series_index, .x = x};
        mark_add(&(*marks)[at], p, value_of(p));
    }
    qsort(*marks, *count, sizeof **marks, mark_order);
    return OK;
}
