/* Charts of runs over time: the loss against time, tokens and energy, and the gradient noise scale,
 * one line per point. Points of the same series and x, which differ by seed, share a color and a
 * label. */
#include "launch/study/report/chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BINS = 150, FEWEST_EVALUATIONS = 3 };

/* The definition of one chart. */
typedef struct CurvesChart {
    const char *name, *title, *caption, *x_label;
    const char *y_label;
    size_t x_offset, y_offset; /* in RunRecord */
    double unit, y_unit;       /* of x, of y; y_unit 0: 1 */
    bool has_marks;            /* the few values of a run are marked */
    bool log_x;
    bool from_zero; /* y is linear and starts at 0; else logarithmic */
} CurvesChart;

/* A vertex of a curve: the means over a bin of records. */
typedef struct Vertex {
    double x, y;
} Vertex;

/* At most MOST_BINS means, in order; the few evaluations are not averaged. Returns their number. */
static int curve_bin(const CurvesChart *c, const Point *p, Vertex *out) {
    size_t usable = 0, seen = 0;
    int n = 0;
    double x = 0, y = 0, in_bin = 0;
    for (size_t i = 0; i < p->n_records; i++)
        usable += isfinite(run_record_value(&p->records[i], c->y_offset)) ? 1 : 0;
    for (size_t i = 0; i < p->n_records; i++) {
        double value = run_record_value(&p->records[i], c->y_offset),
               at = run_record_value(&p->records[i], c->x_offset) / c->unit;
        if (c->y_unit > 0) value /= c->y_unit;
        if (!isfinite(value)) continue;
        seen++;
        if (isfinite(at)) x += at, y += value, in_bin++;
        bool full = usable <= MOST_BINS || seen == usable || seen * MOST_BINS / usable > (size_t)n;
        if (!full || in_bin == 0) continue;
        if (n < MOST_BINS) out[n++] = (Vertex){x / in_bin, y / in_bin};
        x = y = in_bin = 0;
    }
    return n;
}

typedef struct Group {
    int series;
    double x;
    Vertex end; /* end of the longest curve, for the label */
    int curves;
} Group;

static int group_find(const Group *groups, int n, const Point *p) {
    for (int i = 0; i < n; i++) {
        if (groups[i].series == p->series_index &&
            (groups[i].x == p->x || (isnan(groups[i].x) && isnan(p->x))))
            return i;
    }
    return -1;
}

static int group_order(const void *a, const void *b) {
    const Group *x = a, *y = b;
    if (x->series != y->series) return x->series < y->series ? -1 : 1;
    return (x->x > y->x) - (x->x < y->x);
}

static int groups_collect(const Results *s, Group *groups) {
    int n = 0;
    for (size_t i = 0; i < s->n_points; i++) {
        const Point *p = &s->points[i];
        if (group_find(groups, n, p) < 0)
            groups[n++] = (Group){.series = p->series_index, .x = p->x};
    }
    qsort(groups, (size_t)n, sizeof *groups, group_order);
    return n;
}

/* From light to dark along x within a series. */
static Color group_color(const Group *groups, int n, int which, double shift) {
    int before = 0, all = 0;
    for (int i = 0; i < n; i++) {
        if (groups[i].series != groups[which].series) continue;
        before += i < which;
        all++;
    }
    double shade = all == 1 ? 0 : -0.75 + 1.5 * before / (all - 1);
    return series_color(groups[which].series, fmin(1, shade + shift));
}

static const char *group_label(Results *s, const Group *g) {
    const char *series = s->series_names[g->series];
    const char *x = s->x_key == NULL || isnan(g->x) ? "" : x_text(s, g->x);
    if (*x == 0) return series;
    return or_empty(arena_printf(&s->arena, "%s%s%s %s", series, *series == 0 ? "" : ", ",
                                 key_text(s->x_key), x));
}

/* ---- a chart --------------------------------------------------------------------------------- */

static void block_put(FILE *file, size_t index, const Vertex *vertices, int n) {
    fprintf(file, "$run%zu << EOD\n", index);
    for (int i = 0; i < n; i++) fprintf(file, "%.9g %.9g\n", vertices[i].x, vertices[i].y);
    fputs("EOD\n", file);
}

typedef struct Course {
    Group *groups;
    int n_groups;
    ValueRange x, y;
    Text blocks, plot;
} Course;

static void span_of_curve(Course *course, const Vertex *vertices, int n) {
    for (int i = 0; i < n; i++) {
        range_add(&course->x, vertices[i].x);
        range_add(&course->y, vertices[i].y);
    }
}

/* Later series are thinner, so that the earlier ones below them remain visible. */
static double line_width(int series) { return fmax(1.2, 2.8 - 1.2 * series); }

static void curve_put(Results *s, const CurvesChart *c, size_t index, Course *course) {
    Vertex vertices[MOST_BINS];
    const Point *p = &s->points[index];
    int n = curve_bin(c, p, vertices), which = group_find(course->groups, course->n_groups, p);
    if (n == 0) return;
    Group *group = &course->groups[which];
    if (group->curves++ == 0 || vertices[n - 1].x > group->end.x) group->end = vertices[n - 1];
    span_of_curve(course, vertices, n);
    block_put(course->blocks.file, index, vertices, n);
    const char *style = n == 1                    ? "points pt 7 ps 0.6"
                        : c->has_marks && n <= 12 ? "linespoints pt 7 ps 0.35"
                                                  : "lines";
    fprintf(course->plot.file, "$run%zu using 1:2 with %s lw %.1f lc rgb '%s', ", index, style,
            line_width(group->series), group_color(course->groups, course->n_groups, which, 0).hex);
}

static int labels_of_groups(Results *s, const Course *course, ChartLabel *labels) {
    int n = 0;
    for (int i = 0; i < course->n_groups && n < MOST_LABELS; i++) {
        const Group *g = &course->groups[i];
        const char *text = group_label(s, g);
        if (g->curves == 0 || *text == 0) continue;
        labels[n++] = (ChartLabel){.text = text,
                                   .color = group_color(course->groups, course->n_groups, i, 0.3),
                                   .x = g->end.x,
                                   .y = g->end.y};
    }
    return n;
}

static void course_put(Results *s, Charts *charts, const CurvesChart *c, Course *course) {
    ChartLabel labels[MOST_LABELS];
    Axis x = {.letter = 'x', .label = c->x_label};
    Axis y = {.letter = 'y', .label = c->y_label};
    if (!c->log_x) range_add(&course->x, 0);
    axis_fit(&x, &course->x, c->log_x, 0.01);
    if (c->from_zero) range_add(&course->y, 0);
    axis_fit(&y, &course->y, !c->from_zero, 0.04);
    chart_begin(s, charts->script.file, c->title, &x, &y, labels,
                labels_of_groups(s, course, labels));
    fwrite(course->blocks.bytes, 1, course->blocks.size, charts->script.file);
    course->plot.bytes[course->plot.size - 2] = 0; /* removes the last comma */
    chart_end(charts->script.file, c->name, course->plot.bytes);
    charts->items[charts->count++] = (ChartInfo){c->name, c->caption};
}

static Status chart_put(Results *s, Charts *charts, const CurvesChart *c) {
    Course course = {.groups = arena_alloc(&s->arena, s->n_points * sizeof *course.groups)};
    if (course.groups == NULL) return OUT_OF_MEMORY("a chart");
    course.n_groups = groups_collect(s, course.groups);
    Status status;
    TRY_ELSE(status, text_open(&course.blocks), done);
    TRY_ELSE(status, text_open(&course.plot), done);
    for (size_t i = 0; i < s->n_points; i++) curve_put(s, c, i, &course);
    fflush(course.blocks.file);
    fflush(course.plot.file);
    if (course.plot.size > 2) course_put(s, charts, c, &course);
done:
    text_drop(&course.blocks);
    text_drop(&course.plot);
    return status;
}

/* ---- the charts ------------------------------------------------------------------------------ */

/* Uses the validation loss if every finished run has enough evaluations for a curve. */
static bool shows_validation(const Results *s) {
    bool any = false;
    for (size_t i = 0; i < s->n_points; i++) {
        int evaluations = 0;
        for (size_t k = 0; k < s->points[i].n_records; k++)
            evaluations += isfinite(s->points[i].records[k].val_loss) != 0;
        if (evaluations < FEWEST_EVALUATIONS && point_is(&s->points[i], "done")) return false;
        any |= evaluations >= FEWEST_EVALUATIONS;
    }
    return any;
}

static double greatest(const Results *s, size_t offset) {
    double most = 0;
    for (size_t i = 0; i < s->n_points; i++) {
        for (size_t k = 0; k < s->points[i].n_records; k++)
            most = fmax(most, run_record_value(&s->points[i].records[k], offset));
    }
    return most;
}

static CurvesChart loss_chart_of(Results *s, const char *name, const char *against,
                                 bool validation) {
    const char *loss = validation ? "Validation loss" : "Training loss";
    return (CurvesChart){
        .name = name,
        .title = or_empty(arena_printf(&s->arena, "%s against %s", loss, against)),
        .caption = "One line a run; runs that differ by their seed alone share a color. The loss "
                   "axis is logarithmic.",
        .y_label = validation ? "validation loss, nats per token" : "training loss, nats per token",
        .y_offset = validation ? offsetof(RunRecord, val_loss) : offsetof(RunRecord, train_loss),
        .has_marks = validation};
}

/* The loss, the validation loss if it has a curve. */
static CurvesChart loss_chart(Results *s, const char *name, const char *against) {
    return loss_chart_of(s, name, against, shows_validation(s));
}

static void x_is_time(const Results *s, CurvesChart *c) {
    double seconds = greatest(s, offsetof(RunRecord, train_s));
    c->x_offset = offsetof(RunRecord, train_s);
    c->unit = seconds > 7200 ? 3600 : seconds > 180 ? 60 : 1;
    c->x_label = seconds > 7200  ? "training time, h"
                 : seconds > 180 ? "training time, min"
                                 : "training time, s";
}

static void x_is_tokens(const Results *s, CurvesChart *c) {
    double tokens = greatest(s, offsetof(RunRecord, tokens));
    c->x_offset = offsetof(RunRecord, tokens);
    c->log_x = true;
    c->unit = tokens >= 3e9 ? 1e9 : tokens >= 3e6 ? 1e6 : tokens >= 3e3 ? 1e3 : 1;
    c->x_label = tokens >= 3e9   ? "tokens, billions"
                 : tokens >= 3e6 ? "tokens, millions"
                 : tokens >= 3e3 ? "tokens, thousands"
                                 : "tokens";
}

static void x_is_energy(const Results *s, CurvesChart *c) {
    double joules = greatest(s, offsetof(RunRecord, joules));
    c->x_offset = offsetof(RunRecord, joules);
    c->unit = joules >= 3.6e6 ? 3.6e6 : joules >= 3e3 ? 1e3 : 1;
    c->x_label = joules >= 3.6e6 ? "energy, kWh" : joules >= 3e3 ? "energy, kJ" : "energy, J";
}

static Status noise_put(Results *s, Charts *charts) {
    CurvesChart noise = {
        .name = "noise_scale",
        .title = "Gradient noise scale against tokens",
        .caption =
            "An estimate of the critical batch, in tokens per step: a run with a far smaller "
            "batch gains from a larger one, a run with a far larger batch wastes tokens. "
            "Both axes are logarithmic.",
        .y_label = "gradient noise scale, tokens",
        .y_offset = offsetof(RunRecord, noise_scale)};
    x_is_tokens(s, &noise);
    return chart_put(s, charts, &noise);
}

Status charts_of_curves(Results *s, Charts *charts) {
    CurvesChart time = loss_chart(s, "loss_time", "training time"),
                tokens = loss_chart(s, "loss_tokens", "tokens"),
                energy = loss_chart(s, "loss_energy", "energy");
    x_is_time(s, &time);
    TRY(chart_put(s, charts, &time));
    x_is_tokens(s, &tokens);
    TRY(chart_put(s, charts, &tokens));
    x_is_energy(s, &energy);
    TRY(chart_put(s, charts, &energy));
    return noise_put(s, charts);
}

Status charts_of_runs(Results *s, Charts *charts) {
    AxisUnit rate = axis_unit_of_rate(greatest(s, offsetof(RunRecord, tok_per_s))),
             memory = axis_unit_of_memory(greatest(s, offsetof(RunRecord, mem_bytes)));
    CurvesChart list[] = {
        loss_chart_of(s, "train_loss", "training time", false),
        loss_chart_of(s, "val_loss", "training time", true),
        {.name = "throughput_time",
         .title = "Throughput against training time",
         .caption = "Tokens per second over all ranks.",
         .y_label = rate.label,
         .y_unit = rate.size,
         .y_offset = offsetof(RunRecord, tok_per_s),
         .from_zero = true},
        {.name = "memory_time",
         .title = "Memory against training time",
         .caption = "Of rank 0.",
         .y_label = memory.label,
         .y_unit = memory.size,
         .y_offset = offsetof(RunRecord, mem_bytes),
         .from_zero = true},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        x_is_time(s, &list[i]);
        TRY(chart_put(s, charts, &list[i]));
    }
    return noise_put(s, charts);
}
