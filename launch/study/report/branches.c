#include "launch/study/report/branches.h"

#include "launch/study/report/text.h"
#include "launch/study/statistics.h"

#include <math.h>
#include <string.h>

/* ---- differences ----------------------------------------------------------------------------- */

/* The swept value of a key; 1 if it is not swept, because all branches then have the same. */
static double swept(const Point *p, const char *key, double automatic) {
    const json_t *value = json_object_get(p->values, key);
    if (value == NULL) return 1;
    return json_is_number(value) ? json_number_value(value) : automatic;
}

/* What the tokens of a step are proportional to, also of a branch that waits; NaN: unknown. */
static double step_of(const Point *p) {
    return swept(p, "data.batch_size", p->batch) *
           swept(p, "training.gradient_accumulation_steps", NAN);
}

/* The smallest step of the same fork and seed; NULL if it is not done. */
static const Point *reference_of(const Results *s, const Point *p) {
    const Point *least = NULL;
    for (size_t i = 0; i < s->n_points; i++) {
        const Point *other = &s->points[i];
        bool is_beside = other->at != NULL && other->series_index == p->series_index &&
                         strcmp(other->seed, p->seed) == 0 && step_of(other) > 0;
        if (is_beside && (least == NULL || step_of(other) < step_of(least))) least = other;
    }
    return least != NULL && point_is(least, "done") ? least : NULL;
}

static void differences_set(Results *s) {
    for (size_t i = 0; i < s->n_points; i++) {
        Point *p = &s->points[i];
        const Point *reference = p->at == NULL ? NULL : reference_of(s, p);
        if (reference != NULL) p->difference = p->last_val_loss - reference->last_val_loss;
    }
}

/* ---- the critical batch ---------------------------------------------------------------------- */

/* The half of the interval; 0 for one seed. */
static double half_of(const Mark *m) { return m->n > 1 ? m->half : 0; }

static void bounds_find(CriticalBatch *c, const Mark *marks, size_t n) {
    bool is_below = true;
    for (size_t i = 0; i < n; i++) {
        const Mark *m = &marks[i];
        if (m->n == 0) continue;
        is_below = is_below && m->mean + half_of(m) <= c->tolerance;
        if (is_below) c->low = m->x;
        if (isnan(c->high) && m->mean - half_of(m) > c->tolerance) c->high = m->x;
    }
}

static void crossing_find(CriticalBatch *c, const Mark *marks, size_t n) {
    const Mark *last = NULL;
    for (size_t i = 0; i < n; i++) {
        const Mark *m = &marks[i];
        if (m->n == 0) continue;
        if (last != NULL && m->mean > c->tolerance) {
            double part = (c->tolerance - last->mean) / (m->mean - last->mean);
            c->batch = last->x * pow(m->x / last->x, part);
            return;
        }
        last = m;
    }
}

/* The last noise scale of a run up to a position; NaN: none. */
static Status noise_read(Results *s, const char *directory, double tokens, double *out) {
    RunRecords records;
    *out = NAN;
    TRY(run_records_read(directory, NULL, 0, &s->arena, &records));
    for (size_t i = 0; i < records.count; i++) {
        const RunRecord *r = &records.items[i];
        if (r->tokens <= tokens * (1 + 1e-9)) take_known(out, r->noise_scale);
    }
    return OK;
}

/* The mean over the trunks, one for each seed. */
static Status noise_find(Results *s, CriticalBatch *c) {
    double sum = 0, n = 0, one;
    for (size_t i = 0; i < s->n_points; i++) {
        const Point *p = &s->points[i];
        bool is_first = p->at != NULL && p->series_index == c->series && reference_of(s, p) == p;
        if (!is_first) continue;
        TRY(noise_read(s, p->trunk, p->fork_tokens, &one));
        if (!isnan(one)) sum += one, n++;
    }
    c->noise = n > 0 ? sum / n : NAN;
    return OK;
}

static const Point *branch_first(const Results *s, int series) {
    for (size_t i = 0; i < s->n_points; i++) {
        if (s->points[i].at != NULL && s->points[i].series_index == series) return &s->points[i];
    }
    return NULL;
}

static Status critical_make(Results *s, const Mark *marks, size_t n, CriticalBatch *out) {
    const Point *first = branch_first(s, marks[0].series);
    *out = (CriticalBatch){.series = marks[0].series,
                           .fork_tokens = first->fork_tokens,
                           .tolerance = first->tolerance,
                           .batch = NAN,
                           .low = NAN,
                           .high = NAN,
                           .smallest = NAN};
    for (size_t i = 0; i < n; i++) {
        if (marks[i].n == 0) continue;
        if (isnan(out->smallest)) out->smallest = marks[i].x;
        out->most = marks[i].x;
        out->seeds = out->seeds == 0 || marks[i].n < out->seeds ? marks[i].n : out->seeds;
    }
    bounds_find(out, marks, n);
    crossing_find(out, marks, n);
    return noise_find(s, out);
}

Status branches_read(Results *s, Branches *out) {
    Mark *marks;
    *out = (Branches){.count = 0};
    differences_set(s);
    TRY(results_marks(s, point_step_tokens, point_difference, &marks, &out->n_marks));
    out->marks = marks;
    out->items = arena_alloc(&s->arena, (out->n_marks + 1) * sizeof *out->items);
    if (out->items == NULL) return OUT_OF_MEMORY("a report");
    for (size_t i = 0, n; i < out->n_marks; i += n) {
        int values = 0;
        for (n = 0; i + n < out->n_marks && marks[i + n].series == marks[i].series; n++)
            values += marks[i + n].n > 0;
        if (values < 2) continue;
        TRY(critical_make(s, &marks[i], n, &out->items[out->count++]));
    }
    return OK;
}

/* ---- sentences ------------------------------------------------------------------------------- */

#define SAY(s, ...) or_empty(arena_printf(&(s)->arena, __VA_ARGS__))

static const char *bounds_text(Results *s, const CriticalBatch *c) {
    const char *low = count_text(&s->arena, c->low), *high = count_text(&s->arena, c->high),
               *how = c->seeds > 1 ? SAY(s, "95%%, %d seeds", c->seeds)
                                   : "one seed, so the batches beside it";
    if (isnan(c->low) && isnan(c->high)) return SAY(s, "not bounded, %d seeds", c->seeds);
    if (isnan(c->high)) return SAY(s, "above %s; %s", low, how);
    if (isnan(c->low)) return SAY(s, "below %s; %s", high, how);
    return SAY(s, "%s to %s; %s", low, high, how);
}

static const char *critical_text(Results *s, const CriticalBatch *c) {
    const char *series = s->series_names[c->series];
    const char *noise = isnan(c->noise)
                            ? "the noise scale was not measured"
                            : SAY(s, "the noise scale is %s", count_text(&s->arena, c->noise));
    if (isnan(c->batch) && c->seeds > 1 && !(c->low >= c->most))
        return SAY(s,
                   "The critical batch %s of the run was not found (%s): up to %s tokens per step, "
                   "the largest batch with a result, no mean loss is more than %g nats above that "
                   "of %s; %s.",
                   series, bounds_text(s, c), count_text(&s->arena, c->most), c->tolerance,
                   count_text(&s->arena, c->smallest), noise);
    if (isnan(c->batch))
        return SAY(s,
                   "The critical batch %s of the run is above %s tokens per step, the largest "
                   "batch with a result: no loss is more than %g nats above that of %s; %s.",
                   series, count_text(&s->arena, c->most), c->tolerance,
                   count_text(&s->arena, c->smallest), noise);
    return SAY(s,
               "The critical batch %s of the run is %s tokens per step (%s), where the loss after "
               "equal tokens exceeds that of %s by %g nats; %s.",
               series, count_text(&s->arena, c->batch), bounds_text(s, c),
               count_text(&s->arena, c->smallest), c->tolerance, noise);
}

void answer_branches(Results *s, const Branches *branches, Answer *answer) {
    if (branches->count == 0) return;
    answer_drop_comparisons(answer);
    answer->first = critical_text(s, &branches->items[branches->count - 1]);
    for (size_t i = 0; i + 1 < branches->count; i++)
        answer_say(answer, critical_text(s, &branches->items[i]));
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const char *tokens_cell(Results *s, double tokens, bool raw) {
    return raw ? number_text(&s->arena, "%.10g", tokens) : count_text(&s->arena, tokens);
}

Status table_critical(Results *s, const Branches *branches, bool raw, ReportTable *out) {
    static const char *const heads[] = {"branches", "tokens before", "critical batch", "at least",
                                        "at most",  "noise scale",   "tolerance",      "seeds"};
    enum { COLUMNS = sizeof heads / sizeof *heads };
    TRY(table_alloc(s, COLUMNS, branches->count, out));
    table_heads(out, heads, 1);
    for (size_t i = 0; i < branches->count; i++) {
        const CriticalBatch *c = &branches->items[i];
        const char **cells = &out->cells[i * COLUMNS];
        *cells++ = s->series_names[c->series];
        *cells++ = tokens_cell(s, c->fork_tokens, raw);
        *cells++ = tokens_cell(s, c->batch, raw);
        *cells++ = tokens_cell(s, c->low, raw);
        *cells++ = tokens_cell(s, c->high, raw);
        *cells++ = tokens_cell(s, c->noise, raw);
        *cells++ = number_text(&s->arena, "%g", c->tolerance);
        *cells = number_text(&s->arena, "%.0f", c->seeds);
    }
    if (!raw) table_pack(out);
    return OK;
}

Status table_differences(Results *s, const Branches *branches, bool raw, ReportTable *out) {
    static const char *const heads[] = {"branches", "tokens per step", "n", "difference", "± 95%"};
    enum { COLUMNS = sizeof heads / sizeof *heads };
    const char *format = raw ? "%.10g" : "%+.4f";
    size_t rows = 0;
    for (size_t i = 0; i < branches->n_marks; i++) rows += branches->marks[i].n > 0;
    TRY(table_alloc(s, COLUMNS, rows, out));
    table_heads(out, heads, 1);
    const char **cells = out->cells;
    for (size_t i = 0; i < branches->n_marks; i++) {
        const Mark *m = &branches->marks[i];
        if (m->n == 0) continue;
        *cells++ = s->series_names[m->series];
        *cells++ = tokens_cell(s, m->x, raw);
        *cells++ = number_text(&s->arena, "%.0f", m->n);
        *cells++ = number_text(&s->arena, format, m->mean);
        *cells++ = number_text(&s->arena, raw ? "%.10g" : "%.4f", m->n > 1 ? m->half : NAN);
    }
    if (!raw) table_pack(out);
    return OK;
}
