/* Charts over a chosen x: metric, throughput and memory, one line per series, with the intervals of
 * the means over seeds. */
#include "core/perf/median.h"
#include "launch/study/report/chart.h"
#include "launch/study/report/remarks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The definition of one chart. */
typedef struct MarksChart {
    const char *name, *title, *caption, *x_label, *y_label;
    PointFn x_of, value_of;
    PointFn second_of; /* may be NULL; a second value, dashed */
    double unit;       /* values are divided by it */
    bool from_zero, seeds;
    double line; /* a horizontal line at this value; 0: none */
} MarksChart;

typedef struct MarksSet {
    Mark *marks, *second;
    size_t n;
} MarksSet;

/* Shifts the series slightly so that marks at the same x do not overlap. */
static double dodged(const Results *s, const Axis *x, double value, int series) {
    double step = fmin(0.008, 0.03 / s->n_series);
    return axis_value(x, axis_share(x, value) + step * (series - (s->n_series - 1) / 2.0));
}

/* The distinct x of all marks. */
static int distinct_x(const MarksSet *set, double *values) {
    int n = 0;
    for (size_t i = 0; i < set->n; i++) values[i] = set->marks[i].x;
    values_sort(values, set->n);
    for (size_t i = 0; i < set->n; i++) {
        if (n == 0 || values[n - 1] != values[i]) values[n++] = values[i];
    }
    return n;
}

static Status axis_of_x(Results *s, const MarksChart *c, const MarksSet *set, Axis *x) {
    double *values = arena_alloc(&s->arena, set->n * sizeof *values);
    if (values == NULL) return OUT_OF_MEMORY("a chart");
    int n = distinct_x(set, values);
    *x = (Axis){.letter = 'x', .label = c->x_label};
    const char **names = c->x_of == point_x && s->x_names != NULL ? s->x_names : NULL;
    axis_fit_values(x, values, names, n);
    return OK;
}

static bool any_oom(const MarksSet *set) {
    for (size_t i = 0; i < set->n; i++) {
        if (set->marks[i].oom > 0) return true;
    }
    return false;
}

/* Two seeds can have an interval many times as wide as all values; it may leave the chart. */
static void range_add_bars(const MarksChart *c, const MarksSet *set, ValueRange *range) {
    double span = range->high - range->low, low = range->low - span, high = range->high + span;
    for (size_t i = 0; i < set->n; i++) {
        const Mark *m = &set->marks[i];
        if (m->n < 2) continue;
        range_add(range, fmax((m->mean - m->half) / c->unit, c->from_zero ? 0 : low));
        range_add(range, fmin((m->mean + m->half) / c->unit, high));
    }
}

/* Points that do not fit the memory get a band above the values. */
static void axis_of_y(const MarksChart *c, const MarksSet *set, Axis *y) {
    ValueRange range = {0};
    for (size_t i = 0; i < set->n; i++) {
        if (set->marks[i].n > 0) range_add(&range, set->marks[i].low / c->unit);
        if (set->marks[i].n > 0) range_add(&range, set->marks[i].high / c->unit);
        if (set->second != NULL && set->second[i].n > 0)
            range_add(&range, set->second[i].mean / c->unit);
    }
    range_add_bars(c, set, &range);
    if (c->from_zero) range_add(&range, 0);
    *y = (Axis){.letter = 'y', .label = c->y_label};
    axis_fit(y, &range, false, 0.08);
    if (any_oom(set)) y->high = axis_value(y, 1.14);
}

/* ---- data and plot --------------------------------------------------------------------------- */

/* Lines of x, mean, both ends of its interval, and the point type: hollow for a mark with a
 * remark. */
static void block_of_marks(const Results *s, FILE *file, const Mark *marks, size_t n, int series,
                           const char *kind, double unit, const Axis *x) {
    fprintf(file, "$%s%d << EOD\n", kind, series);
    for (size_t i = 0; i < n; i++) {
        const Mark *m = &marks[i];
        if (m->series != series || m->n == 0) continue;
        double half = m->n < 2 ? 0 : m->half;
        fprintf(file, "%.9g %.9g %.9g %.9g %d\n", dodged(s, x, m->x, series), m->mean / unit,
                (m->mean - half) / unit, (m->mean + half) / unit,
                series_point(series, m->remarked > 0));
    }
    fputs("EOD\n", file);
}

static int block_of_seeds(const Results *s, const MarksChart *c, FILE *file, int series,
                          const Axis *x) {
    int count = 0;
    fprintf(file, "$seeds%d << EOD\n", series);
    for (size_t i = 0; i < s->n_points; i++) {
        const Point *p = &s->points[i];
        if (p->series_index != series || !point_is(p, "done") || isnan(c->x_of(p)) ||
            isnan(c->value_of(p)))
            continue;
        fprintf(file, "%.9g %.9g\n", dodged(s, x, c->x_of(p), series), c->value_of(p) / c->unit);
        count++;
    }
    fputs("EOD\n", file);
    return count;
}

/* A series' part of the plot command: error bars below the line, single seeds as small points above
 * it. */
static void plot_series(const Results *s, const MarksChart *c, const MarksSet *set, int series,
                        const Axis *x, FILE *file, FILE *plot) {
    Color line = series_color(series, 0), dark = series_color(series, 0.8);
    int shown = 0, repeated = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (set->marks[i].series != series || set->marks[i].n == 0) continue;
        shown++;
        repeated += set->marks[i].n > 1;
    }
    if (shown == 0) return;
    block_of_marks(s, file, set->marks, set->n, series, "marks", c->unit, x);
    if (set->second != NULL) {
        block_of_marks(s, file, set->second, set->n, series, "second", c->unit, x);
    }
    if (repeated > 0) {
        fprintf(plot, "$marks%d using 1:2:3:4 with yerrorbars pt 0 lw 1.4 lc rgb '%s', ", series,
                line.hex);
        if (c->seeds && block_of_seeds(s, c, file, series, x) > 0) {
            fprintf(plot, "$seeds%d using 1:2 with points pt 7 ps 0.35 lc rgb '%s', ", series,
                    line.hex);
        }
    }
    fprintf(plot,
            "$marks%d using 1:2 with lines lw 2.2 lc rgb '%s', $marks%d using 1:2 with points pt 7 "
            "ps 1 lc rgb '#ffffff', $marks%d using 1:2:5 with points pt var lw 1.6 ps 0.9 lc rgb "
            "'%s', ",
            series, line.hex, series, series, line.hex);
    if (set->second != NULL) {
        fprintf(plot, "$second%d using 1:2 with lines lw 1.1 dt (6,5) lc rgb '%s', ", series,
                dark.hex);
    }
}

/* A series' label at its last mark; none for a study with one unnamed series. */
static int labels_of_series(const Results *s, const MarksChart *c, const MarksSet *set,
                            const Axis *x, ChartLabel *labels) {
    int n = 0;
    for (int series = 0; series < s->n_series && n < MOST_LABELS; series++) {
        const Mark *last = NULL;
        for (size_t i = 0; i < set->n; i++) {
            if (set->marks[i].series == series && set->marks[i].n > 0) last = &set->marks[i];
        }
        if (last == NULL || *s->series_names[series] == 0) continue;
        labels[n++] = (ChartLabel){.text = s->series_names[series],
                                   .color = series_color(series, 0.4),
                                   .x = dodged(s, x, last->x, series),
                                   .y = last->mean / c->unit};
    }
    return n;
}

static void put_oom(const Results *s, const MarksSet *set, const Axis *x, FILE *file) {
    for (size_t i = 0; i < set->n; i++) {
        const Mark *m = &set->marks[i];
        if (m->oom == 0) continue;
        double height = 0.96 - 0.06 * (m->series % 2);
        fprintf(
            file,
            "set label 'oom' at first %.9g, graph %.3f left offset 0.7,0 font ',13' tc rgb '%s' ",
            dodged(s, x, m->x, m->series), height, series_color(m->series, 0.4).hex);
        fprintf(file, "point pt 2 ps 0.8 lw 1.6 lc rgb '%s'\n", series_color(m->series, 0).hex);
    }
}

static Status chart_put(Results *s, Charts *charts, const MarksChart *c) {
    MarksSet set = {0};
    Axis x, y;
    ChartLabel labels[MOST_LABELS];
    Text plot;
    TRY(results_marks(s, c->x_of, c->value_of, &set.marks, &set.n));
    if (c->second_of != NULL) TRY(results_marks(s, c->x_of, c->second_of, &set.second, &set.n));
    size_t known = 0;
    for (size_t i = 0; i < set.n; i++) known += set.marks[i].n > 0;
    if (known == 0) return OK;
    TRY(axis_of_x(s, c, &set, &x));
    axis_of_y(c, &set, &y);
    TRY(text_open(&plot));
    FILE *file = charts->script.file;
    chart_begin(s, file, c->title, &x, &y, labels, labels_of_series(s, c, &set, &x, labels));
    put_oom(s, &set, &x, file);
    if (c->line > 0) fprintf(plot.file, "%.9g with lines lw 1.2 dt 3 lc rgb '#777777', ", c->line);
    for (int series = 0; series < s->n_series; series++)
        plot_series(s, c, &set, series, &x, file, plot.file);
    fflush(plot.file);
    plot.bytes[plot.size - 2] = 0; /* removes the last comma */
    chart_end(file, c->name, plot.bytes);
    text_drop(&plot);
    charts->items[charts->count++] = (ChartInfo){c->name, c->caption};
    return OK;
}

/* ---- the three charts ------------------------------------------------------------------------ */

/* Whether batch sizes differ; otherwise throughput and memory use the x of the study. */
static bool batches_differ(const Results *s) {
    ValueRange range = {0};
    for (size_t i = 0; i < s->n_points; i++) range_add(&range, s->points[i].batch);
    return range.count > 0 && range.high > range.low;
}

static double greatest(const Results *s, PointFn value_of) {
    ValueRange range = {0};
    for (size_t i = 0; i < s->n_points; i++) range_add(&range, value_of(&s->points[i]));
    return range.high;
}

Status charts_of_marks(Results *s, Charts *charts) {
    const char *of_x = axis_label(s, s->x_key);
    const char *caption = or_empty(
        arena_printf(&s->arena,
                     "The mean over seeds of points that are done%s; bars are 95%% "
                     "t-intervals of the mean, dots single seeds%s.",
                     s->n_series > 1 ? ", a line for each series" : "",
                     remarks_count(s) > 0 ? "; hollow: see the remarks in the table" : ""));
    MarksChart metric = {.name = "best",
                         .title = metric_title(s),
                         .caption = caption,
                         .x_label = of_x,
                         .y_label = metric_axis_label(s),
                         .x_of = point_x,
                         .value_of = point_metric,
                         .unit = 1,
                         .seeds = true};
    TRY(chart_put(s, charts, &metric));
    bool by_batch = batches_differ(s);
    PointFn x_of = by_batch ? point_batch : point_x;
    const char *x_label = by_batch ? axis_label(s, "data.batch_size") : of_x;
    AxisUnit rate = axis_unit_of_rate(greatest(s, point_rate)),
             bytes = axis_unit_of_memory(greatest(s, point_peak));
    MarksChart throughput = {.name = "throughput",
                             .title = "Throughput",
                             .x_label = x_label,
                             .x_of = x_of,
                             .caption =
                                 "The median over a run's logged steps, of all ranks together.",
                             .y_label = rate.label,
                             .value_of = point_rate,
                             .unit = rate.size,
                             .from_zero = true};
    TRY(chart_put(s, charts, &throughput));
    MarksChart memory = {.name = "memory",
                         .title = "Memory per rank: peak and planned (dashed)",
                         .x_label = x_label,
                         .caption = "Peak memory of rank 0, and the plan before the start.",
                         .x_of = x_of,
                         .y_label = bytes.label,
                         .value_of = point_peak,
                         .second_of = point_planned,
                         .unit = bytes.size,
                         .from_zero = true};
    return chart_put(s, charts, &memory);
}

Status charts_of_branches(Results *s, const Branches *branches, Charts *charts) {
    if (branches->count == 0) return OK;
    MarksChart chart = {.name = "branches",
                        .title = "Loss after equal tokens, above that of the smallest batch",
                        .caption = "Branches from the same weights, a line for each share of the "
                                   "run; the dotted line is the tolerance. Bars are 95% "
                                   "t-intervals over seeds.",
                        .x_label = "batch, tokens per step",
                        .y_label = "difference of the validation loss, nats",
                        .x_of = point_step_tokens,
                        .value_of = point_difference,
                        .unit = 1,
                        .seeds = true,
                        .line = branches->items[branches->count - 1].tolerance};
    return chart_put(s, charts, &chart);
}
