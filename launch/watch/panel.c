#include "launch/watch/panel.h"

#include "core/base/escape.h"
#include "launch/base/line_fields.h"
#include "launch/base/readable.h"
#include "launch/base/terminal.h"
#include "launch/watch/canvas.h"

#include <math.h>
#include <string.h>

enum { LINE_BYTES = 512 };

int panel_curve_columns(const PanelScale *scale) { return scale->columns - PANEL_LABEL_COLUMNS; }

double panel_x(const PanelScale *scale, const RunRecord *r) {
    return scale->by_tokens ? r->tokens : r->step;
}

Status panel_means(const PanelScale *scale, const RunRecords *records, size_t member, int n,
                   Arena *arena, double **means) {
    double *sums = *means = arena_alloc(arena, (size_t)n * sizeof *sums);
    double *counts = arena_alloc(arena, (size_t)n * sizeof *counts);
    if (sums == NULL || counts == NULL) return OUT_OF_MEMORY("a chart");
    for (size_t i = 0; i < records->count; i++) {
        const RunRecord *r = &records->items[i];
        double value = run_record_value(r, member);
        double share = panel_x(scale, r) / scale->last;
        if (!isfinite(value) || !(share >= 0)) continue;
        int part = (int)(fmin(share, 1) * (n - 1));
        sums[part] += value;
        counts[part]++;
    }
    for (int i = 0; i < n; i++) sums[i] = counts[i] > 0 ? sums[i] / counts[i] : NAN;
    return OK;
}

/* ---- the numbers ----------------------------------------------------------------------------- */

/* The name at the left, the state at the right. */
static void head_write(const WatchedRun *run, int columns, FILE *file) {
    char name[LINE_BYTES];
    escape_text(run->point.name, name, sizeof name);
    int room = columns - (int)strlen(run->state) - 1, width = terminal_width_of(name);
    bool is_cut = width > room;
    if (is_cut) name[terminal_cut(name, room - 1)] = '\0';
    fprintf(file, "%s%s%*s%s\n", name, is_cut ? "~" : "",
            1 + room - (is_cut ? terminal_width_of(name) + 1 : width), "", run->state);
}

static void fields_line(LineFields *fields, int columns, FILE *file) {
    char text[LINE_BYTES] = "";
    line_fields_fit(fields, columns);
    line_fields_write(fields, text, sizeof text);
    fprintf(file, "%.*s\n", (int)terminal_cut(text, columns), text);
}

static void progress_write(const WatchedRun *run, int columns, FILE *file) {
    const PointStatus *s = &run->point.status;
    LineFields fields = {.count = 0};
    char time[32];
    if (s->step < 0) {
        fprintf(file, "%.*s\n", columns, "no step logged yet");
        return;
    }
    line_field_add(&fields, 0, "%.0f%% of %s", 100 * run->end.done, run->end.limit);
    line_field_add(&fields, 2, "step %lld", (long long)s->step);
    if (watched_run_goes_on(run) && isfinite(s->seconds_left)) {
        readable_seconds(s->seconds_left, time, sizeof time);
        line_field_add(&fields, 1, "%s left", time);
    } else if (isfinite(s->train_s)) {
        readable_seconds(s->train_s, time, sizeof time);
        line_field_add(&fields, 1, "%s of training", time);
    }
    fields_line(&fields, columns, file);
}

static double last_known(const WatchedRun *run, size_t member) {
    const RunRecords *records = &run->follower.records;
    for (size_t i = records->count; i-- > 0;) {
        double value = run_record_value(&records->items[i], member);
        if (!isnan(value)) return value;
    }
    return NAN;
}

static void losses_write(const WatchedRun *run, int columns, FILE *file) {
    const PointStatus *s = &run->point.status;
    LineFields fields = {.count = 0};
    line_field_add(&fields, 0, "loss %.4f", readable_real(s->train_loss));
    if (!isnan(s->val_loss))
        line_field_add(&fields, 1, "val %.4f", isinf(s->val_loss) ? (double)NAN : s->val_loss);
    if (isfinite(s->best_val_loss)) line_field_add(&fields, 2, "best %.4f", s->best_val_loss);
    fields_line(&fields, columns, file);
}

static void rates_write(const WatchedRun *run, int columns, FILE *file) {
    LineFields fields = {.count = 0};
    char text[32];
    double rate = last_known(run, offsetof(RunRecord, tok_per_s)),
           mfu = last_known(run, offsetof(RunRecord, mfu)),
           memory = last_known(run, offsetof(RunRecord, mem_bytes));
    readable_count(rate, text, sizeof text);
    line_field_add(&fields, 0, "%s tok/s", isfinite(rate) ? text : "-");
    if (isfinite(mfu)) line_field_add(&fields, 2, "MFU %.1f%%", 100 * mfu);
    readable_memory(memory, text, sizeof text);
    if (isfinite(memory)) line_field_add(&fields, 1, "%s", text);
    fields_line(&fields, columns, file);
}

/* Throughput from 0 to its maximum. */
static Status throughput_write(const WatchedRun *run, const PanelScale *scale, Arena *arena,
                               FILE *file) {
    int n = panel_curve_columns(scale);
    double *means, most = 0, shown = NAN;
    TRY(panel_means(scale, &run->follower.records, offsetof(RunRecord, tok_per_s), n, arena,
                    &means));
    for (int i = 0; i < n; i++) most = fmax(most, means[i]);
    while (n > 0 && isnan(means[n - 1])) n--;
    fprintf(file, "%-*s", PANEL_LABEL_COLUMNS, "tok/s");
    for (int i = 0; i < n && most > 0; i++) {
        take_known(&shown, means[i]);
        fputs(isnan(shown) ? " " : bar_character(shown / most, scale->unicode), file);
    }
    fputc('\n', file);
    return OK;
}

/* ---- the curve ------------------------------------------------------------------------------- */

/* The line connects the means; evaluations are marked. */
static Status curve_draw(const WatchedRun *run, const PanelScale *scale, Arena *arena, Canvas *c) {
    const RunRecords *records = &run->follower.records;
    int n = 2 * c->columns;
    double *means, before_x = NAN, before_y = NAN;
    TRY(panel_means(scale, records, offsetof(RunRecord, train_loss), n, arena, &means));
    for (int i = 0; i < n; i++) {
        if (isnan(means[i])) continue;
        double x = (double)i / (n - 1), y = axis_share(&scale->loss, means[i]);
        if (isnan(before_x)) before_x = x, before_y = y;
        canvas_line(c, before_x, before_y, x, y);
        before_x = x, before_y = y;
    }
    for (size_t i = 0; i < records->count; i++) {
        const RunRecord *r = &records->items[i];
        if (!isfinite(r->val_loss) || !(panel_x(scale, r) >= 0)) continue;
        canvas_mark(c, panel_x(scale, r) / scale->last, axis_share(&scale->loss, r->val_loss), 'o');
    }
    return OK;
}

/* The tick of a row, if the row above has none. */
static void label_write(const PanelScale *scale, const Canvas *c, int row, int *labeled,
                        FILE *file) {
    const Axis *axis = &scale->loss;
    for (int i = axis->n_ticks - 1; i >= 0; i--) {
        bool is_here = canvas_row(c, axis_share(axis, axis->ticks[i])) == row;
        if (!is_here || *labeled == row - 1) continue;
        *labeled = row;
        fprintf(file, "%*.3g ", PANEL_LABEL_COLUMNS - 1, axis->ticks[i]);
        return;
    }
    fprintf(file, "%*s", PANEL_LABEL_COLUMNS, "");
}

static Status chart_write(const WatchedRun *run, const PanelScale *scale, Arena *arena,
                          FILE *file) {
    Canvas canvas;
    char end[48], count[24];
    int labeled = -2, columns = panel_curve_columns(scale);
    TRY(canvas_create(arena, columns, scale->chart_rows, scale->unicode, &canvas));
    TRY(curve_draw(run, scale, arena, &canvas));
    for (int row = 0; row < scale->chart_rows; row++) {
        label_write(scale, &canvas, row, &labeled, file);
        canvas_write(&canvas, row, file);
        fputc('\n', file);
    }
    if (scale->by_tokens)
        readable_count(scale->last, count, sizeof count);
    else
        snprintf(count, sizeof count, "%.0f", scale->last);
    snprintf(end, sizeof end, "%s %s", count, scale->by_tokens ? "tokens" : "steps");
    fprintf(file, "%*s%*s\n", PANEL_LABEL_COLUMNS + 1, "0", columns - 1, end);
    return OK;
}

Status panel_write(const WatchedRun *run, const PanelScale *scale, Arena *arena, FILE *file) {
    head_write(run, scale->columns, file);
    progress_write(run, scale->columns, file);
    losses_write(run, scale->columns, file);
    rates_write(run, scale->columns, file);
    TRY(throughput_write(run, scale, arena, file));
    if (scale->chart_rows > 0)
        TRY(chart_write(run, scale, arena, file));
    else
        fputc('\n', file);
    const char *message = run->point.status.message;
    if (message[0] != '\0')
        fprintf(file, "%.*s\n", (int)terminal_cut(message, scale->columns), message);
    return OK;
}
