#include "launch/study/report/tuning_table.h"

#include "launch/study/report/labels.h"
#include "launch/study/report/text.h"

#include <math.h>
#include <string.h>

static const char *string_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

/* The budgets of a point that the candidates took, without the best, which is a point. */
static double budgets_of(const Tuned *t) {
    double sum = 0;
    size_t i;
    json_t *candidate;
    json_array_foreach(json_object_get(t->root, "candidates"), i, candidate) {
        double share = json_number_value(json_object_get(candidate, "share"));
        if (strcmp(string_of(candidate, "name"), string_of(t->root, "best")) != 0) sum += share;
    }
    return sum;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void tuning_row(Results *s, const Tuned *t, bool raw, const char **cells) {
    const char *note = json_is_true(json_object_get(t->root, "decided")) ? t->edge : "not decided";
    *cells++ = t->best == NULL ? "" : t->best->series;
    *cells++ = t->best == NULL || isnan(t->best->x) ? "" : x_text(s, t->best->x);
    *cells++ = t->key == NULL ? "" : number_text(&s->arena, raw ? "%.10g" : "%.3g", t->value);
    *cells++ = raw ? number_text(&s->arena, "%.10g", exp(t->fit.at.value)) : tuned_text(s, t);
    *cells++ = number_text(&s->arena, "%.0f",
                           (double)json_array_size(json_object_get(t->root, "candidates")));
    *cells++ = number_text(&s->arena, raw ? "%.6g" : "%.2f", budgets_of(t));
    *cells = note;
}

Status table_tunings(Results *s, const Tunings *tunings, bool raw, ReportTable *out) {
    const char *heads[] = {"series", "x", "best", "optimum (95%)", "candidates", "budgets", "note"};
    enum { COLUMNS = sizeof heads / sizeof *heads };
    TRY(table_alloc(s, COLUMNS, tunings->count, out));
    if (!raw && s->x_key != NULL) heads[1] = key_text(s->x_key);
    if (!raw && s->series_key != NULL) heads[0] = key_text(s->series_key);
    table_heads(out, heads, 2);
    out->kinds[COLUMNS - 1] = CELL_TEXT;
    for (size_t i = 0; i < tunings->count; i++)
        tuning_row(s, &tunings->items[i], raw, &out->cells[i * COLUMNS]);
    if (!raw) table_pack(out);
    return OK;
}

/* "3.4102, 3.2871": the results at the rungs that it completed. */
static const char *results_text(Results *s, const json_t *candidate, bool raw) {
    const char *text = "";
    size_t i;
    json_t *result;
    json_array_foreach(json_object_get(candidate, "results"), i, result) {
        const char *one = json_is_number(result) ? number_text(&s->arena, raw ? "%.10g" : "%.4f",
                                                               json_number_value(result))
                                                 : "-";
        text = or_empty(arena_printf(&s->arena, "%s%s%s", text,
                                     i == 0 ? ""
                                     : raw  ? ";"
                                            : ", ",
                                     one));
    }
    return text;
}

static void candidate_row(Results *s, const Tuned *t, const json_t *candidate, bool raw,
                          const char **cells) {
    bool is_best = strcmp(string_of(candidate, "name"), string_of(t->root, "best")) == 0;
    bool resumed = json_is_true(json_object_get(candidate, "resumed_beside_best"));
    const char *why = string_of(candidate, "why");
    double share = json_number_value(json_object_get(candidate, "share"));
    *cells++ = string_of(candidate, "name");
    *cells++ = string_of(candidate, "state");
    *cells++ = t->key == NULL
                   ? ""
                   : value_text(s, json_object_get(json_object_get(candidate, "values"), t->key));
    *cells++ = number_text(&s->arena, raw ? "%.6g" : "%.3g", share);
    *cells++ = results_text(s, candidate, raw);
    *cells = is_best   ? "the best"
             : resumed ? or_empty(arena_printf(&s->arena, "%s; resumed as its neighbor won", why))
                       : why;
}

Status table_candidates(Results *s, const Tunings *tunings, bool raw, ReportTable *out) {
    static const char *const heads[] = {"candidate", "state", "value", "share", "results", "end"};
    enum { COLUMNS = sizeof heads / sizeof *heads };
    size_t rows = 0, row = 0;
    for (size_t i = 0; i < tunings->count; i++)
        rows += json_array_size(json_object_get(tunings->items[i].root, "candidates"));
    TRY(table_alloc(s, COLUMNS, rows, out));
    table_heads(out, heads, 2);
    out->kinds[1] = CELL_STATE;
    out->kinds[COLUMNS - 1] = CELL_MESSAGE;
    for (size_t i = 0; i < tunings->count; i++) {
        size_t k;
        json_t *candidate;
        json_array_foreach(json_object_get(tunings->items[i].root, "candidates"), k, candidate)
            candidate_row(s, &tunings->items[i], candidate, raw, &out->cells[row++ * COLUMNS]);
    }
    return OK;
}

/* ---- sentences ------------------------------------------------------------------------------- */

/* Of the two exponents that theory suggests. */
static const char *exponents_text(const Interval *slope) {
    bool half = fabs(slope->value - 1.0 / 2) <= slope->half,
         third = fabs(slope->value - 1.0 / 3) <= slope->half;
    return half && third ? "contains both 1/2 and 1/3"
           : half        ? "contains 1/2 and excludes 1/3"
           : third       ? "contains 1/3 and excludes 1/2"
                         : "excludes both 1/2 and 1/3";
}

static void say_exponent(Results *s, const Tunings *tunings, int series, Answer *answer) {
    LineFit fit = tunings_exponent(tunings, series);
    const Interval *slope = &fit.slope;
    const char *name = s->series_names[series], *with = *name == '\0' ? "" : " with ";
    const char *key = key_text(tunings->items[0].key);
    if (isnan(slope->value)) return;
    if (isnan(slope->half)) {
        answer_say(answer, or_empty(arena_printf(&s->arena,
                                                 "The best %s%s%s grows as batch^%.2f between two "
                                                 "batches, which leave no interval.",
                                                 key, with, name, slope->value)));
        return;
    }
    answer_say(answer,
               or_empty(arena_printf(&s->arena,
                                     "The best %s%s%s grows as batch^(%.2f ± %.2f) (95%%, %d "
                                     "batches); the interval %s.",
                                     key, with, name, slope->value, slope->half, slope->n,
                                     exponents_text(slope))));
}

void answer_tunings(Results *s, const Tunings *tunings, Answer *answer) {
    size_t edges = 0, open = 0;
    double budgets = 0;
    for (size_t i = 0; i < tunings->count; i++) {
        edges += *tunings->items[i].edge != '\0';
        open += !json_is_true(json_object_get(tunings->items[i].root, "decided"));
        budgets += budgets_of(&tunings->items[i]);
    }
    if (tunings->count == 0) return;
    const char *key = tunings->items[0].key;
    bool is_rate = key != NULL && strcmp(key_text(key), "lr") == 0;
    bool by_batch = s->x_key != NULL && strcmp(s->x_key, "data.batch_size") == 0;
    for (int series = 0; is_rate && by_batch && series < s->n_series; series++)
        say_exponent(s, tunings, series, answer);
    answer_say(answer, or_empty(arena_printf(&s->arena,
                                             "Tuning took %.2f budgets of a point beside the %zu "
                                             "points; each result is that of the best candidate.",
                                             budgets, s->n_points)));
    if (edges > 0)
        answer_say(answer,
                   or_empty(arena_printf(&s->arena,
                                         "%zu of %zu tunings found their best at the edge of "
                                         "the candidates; a wider grid may do better.",
                                         edges, tunings->count)));
    if (open > 0)
        answer_say(answer,
                   or_empty(arena_printf(&s->arena, "%zu of %zu tunings are not decided yet.", open,
                                         tunings->count)));
}
