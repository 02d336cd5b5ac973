#include "launch/study/report/tuned.h"

#include "launch/study/metric.h"
#include "launch/study/report/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double value_of(const json_t *candidate, const char *key) {
    const json_t *value = json_object_get(json_object_get(candidate, "values"), key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* The tuned key that the chart shows; NULL if none has positive numbers. */
static const char *key_of(const json_t *tuning) {
    const json_t *first = json_array_get(json_object_get(tuning, "candidates"), 0);
    size_t i;
    json_t *key;
    json_array_foreach(json_object_get(tuning, "keys"), i, key) {
        if (json_is_string(key) && value_of(first, json_string_value(key)) > 0)
            return json_string_value(key);
    }
    return NULL;
}

static const json_t *candidate_find(const json_t *tuning, const char *name) {
    size_t i;
    json_t *candidate;
    json_array_foreach(json_object_get(tuning, "candidates"), i, candidate) {
        const char *own = json_string_value(json_object_get(candidate, "name"));
        if (own != NULL && name != NULL && strcmp(own, name) == 0) return candidate;
    }
    return NULL;
}

static const Point *point_find(const Results *s, const char *name) {
    for (size_t i = 0; name != NULL && i < s->n_points; i++) {
        if (strcmp(s->points[i].name, name) == 0) return &s->points[i];
    }
    return NULL;
}

/* ---- curves ---------------------------------------------------------------------------------- */

/* Whether two candidates differ at most in `key`. */
static bool is_beside(const json_t *tuning, const json_t *a, const json_t *b, const char *key) {
    size_t i;
    json_t *other;
    json_array_foreach(json_object_get(tuning, "keys"), i, other) {
        const char *name = json_string_value(other);
        if (name == NULL || strcmp(name, key) == 0) continue;
        if (!json_equal(json_object_get(json_object_get(a, "values"), name),
                        json_object_get(json_object_get(b, "values"), name)))
            return false;
    }
    return true;
}

static void curve_add(TunedCurve *c, double value, double result) {
    int i = c->n++;
    for (; i > 0 && c->values[i - 1] > value; i--) {
        c->values[i] = c->values[i - 1];
        c->results[i] = c->results[i - 1];
    }
    c->values[i] = value;
    c->results[i] = result;
}

/* The results at one rung of the candidates beside `best`. */
static Status curve_read(Results *s, const Tuned *t, const json_t *best, size_t rung,
                         TunedCurve *out) {
    const json_t *candidates = json_object_get(t->root, "candidates");
    size_t count = json_array_size(candidates), i;
    json_t *candidate;
    *out = (TunedCurve){.values = arena_alloc(&s->arena, (count + 1) * sizeof(double)),
                        .results = arena_alloc(&s->arena, (count + 1) * sizeof(double))};
    if (out->values == NULL || out->results == NULL) return OUT_OF_MEMORY("a report");
    json_array_foreach(candidates, i, candidate) {
        const json_t *result = json_array_get(json_object_get(candidate, "results"), rung);
        double value = value_of(candidate, t->key);
        if (json_is_number(result) && value > 0 && is_beside(t->root, candidate, best, t->key))
            curve_add(out, value, json_number_value(result));
    }
    return OK;
}

/* ---- the optimum ----------------------------------------------------------------------------- */

/* The standard deviation of a result over seeds, from all marks together. */
static Status pooled_deviation(Results *s, double *deviation, double *freedom) {
    Mark *marks;
    size_t n;
    double squares = 0;
    *freedom = 0;
    TRY(results_marks(s, point_x, point_metric, &marks, &n));
    for (size_t i = 0; i < n; i++) {
        const Mark *m = &marks[i];
        if (m->n < 2) continue;
        squares += (m->n - 1) * m->deviation * m->deviation;
        *freedom += m->n - 1;
    }
    *deviation = *freedom > 0 ? sqrt(squares / *freedom) : NAN;
    return OK;
}

/* Through the best and its neighbor on each side; farther away the loss is no parabola. */
static void optimum_find(const Results *s, Tuned *t, double deviation, double freedom) {
    double x[3], y[3];
    int n = 0, at = 0;
    double sign = metric_is_rate(s->metric) ? -1 : 1;
    while (at < t->whole.n && t->whole.values[at] < t->value) at++;
    for (int i = at - 1; i <= at + 1; i++) {
        if (i < 0 || i >= t->whole.n) continue;
        x[n] = log(t->whole.values[i]);
        y[n++] = sign * t->whole.results[i];
    }
    t->fit = parabola_fit(x, y, n, deviation, freedom);
}

static Status tuned_read(Results *s, Tuned *t, double deviation, double freedom) {
    const char *name = json_string_value(json_object_get(t->root, "best")),
               *edge = json_string_value(json_object_get(t->root, "edge"));
    const json_t *best = candidate_find(t->root, name);
    size_t rungs = json_array_size(json_object_get(t->root, "rungs"));
    t->key = key_of(t->root);
    t->edge = edge == NULL ? "" : edge;
    t->best = point_find(s, name);
    t->value = t->fit.at.value = t->fit.at.half = NAN;
    if (t->key == NULL || best == NULL || rungs == 0) return OK;
    t->value = value_of(best, t->key);
    TRY(curve_read(s, t, best, 0, &t->first));
    TRY(curve_read(s, t, best, rungs - 1, &t->whole));
    optimum_find(s, t, deviation, freedom);
    return OK;
}

Status tunings_read(Results *s, Tunings *out) {
    const json_t *list = json_object_get(s->root, "tuning");
    double deviation, freedom;
    *out = (Tunings){.count = json_array_size(list)};
    if (out->count == 0) return OK;
    out->items = arena_alloc(&s->arena, out->count * sizeof *out->items);
    if (out->items == NULL) return OUT_OF_MEMORY("a report");
    TRY(pooled_deviation(s, &deviation, &freedom));
    for (size_t i = 0; i < out->count; i++) {
        out->items[i].root = json_array_get(list, i);
        TRY(tuned_read(s, &out->items[i], deviation, freedom));
    }
    return OK;
}

LineFit tunings_exponent(const Tunings *tunings, int series) {
    enum { MOST = 256 };
    double x[MOST], y[MOST];
    int n = 0;
    for (size_t i = 0; i < tunings->count && n < MOST; i++) {
        const Tuned *t = &tunings->items[i];
        bool counts = t->best != NULL && t->best->series_index == series && t->best->batch > 0 &&
                      !isnan(t->fit.at.value);
        if (!counts) continue;
        x[n] = log(t->best->batch * (t->best->ranks > 0 ? t->best->ranks : 1));
        y[n++] = t->fit.at.value;
    }
    return line_fit(x, y, n);
}

const char *tuned_text(Results *s, const Tuned *t) {
    if (isnan(t->value)) return "";
    if (isnan(t->fit.at.value)) return number_text(&s->arena, "%.3g", t->value);
    double optimum = exp(t->fit.at.value), factor = exp(t->fit.at.half);
    if (isnan(factor)) return number_text(&s->arena, "%.2g", optimum);
    if (factor > 100) return or_empty(arena_printf(&s->arena, "%.2g (not bounded)", optimum));
    return or_empty(arena_printf(&s->arena, "%.2g (%.2g to %.2g)", optimum, optimum / factor,
                                 optimum * factor));
}
