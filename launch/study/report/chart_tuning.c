/* The chart of tunings: the result over the tuned value, a line for each combination. */
#include "launch/study/report/chart.h"

#include <math.h>

static void block_put(FILE *file, const char *kind, size_t index, const TunedCurve *c) {
    fprintf(file, "$%s%zu << EOD\n", kind, index);
    for (int i = 0; i < c->n; i++) fprintf(file, "%.9g %.9g\n", c->values[i], c->results[i]);
    fputs("EOD\n", file);
}

static void span_add(const TunedCurve *c, ValueRange *x, ValueRange *y) {
    for (int i = 0; i < c->n; i++) {
        range_add(x, c->values[i]);
        range_add(y, c->results[i]);
    }
}

/* From light to dark in the order of the tunings of a series. */
static Color color_of(const Tunings *tunings, size_t which) {
    int before = 0, all = 0, series = tunings->items[which].best->series_index;
    for (size_t i = 0; i < tunings->count; i++) {
        const Point *best = tunings->items[i].best;
        if (best == NULL || best->series_index != series) continue;
        before += i < which;
        all++;
    }
    return series_color(series, all == 1 ? 0 : -0.75 + 1.5 * before / (all - 1));
}

static const char *label_of(Results *s, const Point *p) {
    const char *x = s->x_key == NULL || isnan(p->x) ? "" : x_text(s, p->x);
    return or_empty(arena_printf(&s->arena, "%s%s%s %s", p->series, *p->series == '\0' ? "" : ", ",
                                 s->x_key == NULL ? "" : key_text(s->x_key), x));
}

static void tuned_put(Results *s, const Tunings *tunings, size_t i, FILE *file, FILE *plot,
                      ChartLabel *label) {
    const Tuned *t = &tunings->items[i];
    Color color = color_of(tunings, i);
    block_put(file, "whole", i, &t->whole);
    fprintf(plot, "$whole%zu using 1:2 with linespoints pt 7 ps 0.7 lw 2 lc rgb '%s', ", i,
            color.hex);
    if (json_array_size(json_object_get(t->root, "rungs")) > 1) {
        block_put(file, "first", i, &t->first);
        fprintf(plot, "$first%zu using 1:2 with lines lw 1 dt (4,5) lc rgb '%s', ", i, color.hex);
    }
    *label = (ChartLabel){.text = label_of(s, t->best),
                          .color = color,
                          .x = t->whole.values[t->whole.n - 1],
                          .y = t->whole.results[t->whole.n - 1]};
}

static bool is_shown(const Tuned *t) { return t->best != NULL && t->whole.n > 0; }

Status charts_of_tunings(Results *s, const Tunings *tunings, Charts *charts) {
    ValueRange xs = {0}, ys = {0};
    ChartLabel labels[MOST_LABELS];
    Text blocks, plot;
    int n = 0;
    const char *key = NULL;
    for (size_t i = 0; i < tunings->count; i++) {
        if (!is_shown(&tunings->items[i])) continue;
        key = tunings->items[i].key;
        span_add(&tunings->items[i].first, &xs, &ys);
        span_add(&tunings->items[i].whole, &xs, &ys);
    }
    if (key == NULL) return OK;
    Status status = text_open(&blocks);
    if (failed(status)) return status;
    TRY_ELSE(status, text_open(&plot), done);
    for (size_t i = 0; i < tunings->count && n < MOST_LABELS; i++) {
        if (is_shown(&tunings->items[i]))
            tuned_put(s, tunings, i, blocks.file, plot.file, &labels[n++]);
    }
    Axis x = {.letter = 'x', .label = key}, y = {.letter = 'y', .label = metric_axis_label(s)};
    axis_fit(&x, &xs, true, 0.03);
    axis_fit(&y, &ys, true, 0.05);
    fflush(blocks.file);
    fflush(plot.file);
    chart_begin(s, charts->script.file,
                or_empty(arena_printf(&s->arena, "Tuning of %s", key_text(key))), &x, &y, labels,
                n);
    fwrite(blocks.bytes, 1, blocks.size, charts->script.file);
    plot.bytes[plot.size - 2] = 0; /* removes the last comma */
    chart_end(charts->script.file, "tuning", plot.bytes);
    charts->items[charts->count++] = (ChartInfo){
        "tuning", "The result of each candidate over its tuned value, one seed each: at "
                  "the whole budget, and at the end of the first rung (dashed)."};
    text_drop(&plot);
done:
    text_drop(&blocks);
    return status;
}
