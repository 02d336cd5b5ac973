#include "core/median.h"
#include "launch/report/results.h"
#include "launch/report/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number_or_nan(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static json_t *load_json(Results *s, const Point *p, const char *name) {
    const char *path = arena_printf(&s->arena, "%s/%s", p->directory, name);
    return path == NULL ? NULL : json_load_file(path, 0, NULL);
}

/* ---- metrics.jsonl ----------------------------------------------------------------------------------------------- */

static size_t count_lines(const char *text) {
    size_t lines = 0;
    while ((text = strchr(text, '\n')) != NULL) lines++, text++;
    return lines;
}

/* Cut and foreign lines are left out; a line without a newline is still being written. */
static void records_read(Results *s, Point *p) {
    const char *path = arena_printf(&s->arena, "%s/metrics.jsonl", p->directory);
    const char *line = path == NULL ? NULL : text_read(&s->arena, path), *end;
    if (line == NULL) return;
    p->records = arena_alloc(&s->arena, (count_lines(line) + 1) * sizeof *p->records);
    if (p->records == NULL) return;
    for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        json_t *object = json_loadb(line, (size_t)(end - line), 0, NULL);
        if (json_is_object(object)) {
            p->records[p->n_records++] = (Record){.tokens = number_or_nan(object, "tokens"),
                                                  .seconds = number_or_nan(object, "train_s"),
                                                  .train_loss = number_or_nan(object, "train/loss"),
                                                  .val_loss = number_or_nan(object, "val/loss"),
                                                  .tok_per_s = number_or_nan(object, "tok_per_s"),
                                                  .metric = number_or_nan(object, s->metric)};
            p->steps = fmax(p->steps, number_or_nan(object, "step"));
            p->peak_bytes = fmax(p->peak_bytes, number_or_nan(object, "mem_bytes"));
        }
        json_decref(object);
    }
}

/* The lowest value is the best one, but for rates. */
static bool is_better(const char *metric, double a, double b) {
    bool high = strcmp(metric, "tok_per_s") == 0 || strcmp(metric, "mfu") == 0;
    return isnan(b) || (high ? a > b : a < b);
}

static double metric_reduced(const Results *s, const Point *p) {
    double best = NAN, last = NAN, sum = 0, n = 0;
    for (size_t i = 0; i < p->n_records; i++) {
        double value = p->records[i].metric;
        if (isnan(value)) continue;
        last = value;
        sum += value;
        n++;
        if (is_better(s->metric, value, best)) best = value;
    }
    return strcmp(s->reduce, "last") == 0 ? last : strcmp(s->reduce, "mean") == 0 ? sum / n : best;
}

/* The median of what was logged: a resume's first steps and a busy moment do not count. */
static double median_rate(Results *s, const Point *p) {
    double *rates = arena_alloc(&s->arena, (p->n_records + 1) * sizeof *rates);
    size_t n = 0;
    for (size_t i = 0; rates != NULL && i < p->n_records; i++) {
        if (!isnan(p->records[i].tok_per_s)) rates[n++] = p->records[i].tok_per_s;
    }
    return values_median(rates, n);
}

static void records_reduce(Results *s, Point *p) {
    for (size_t i = 0; i < p->n_records; i++) {
        const Record *r = &p->records[i];
        p->tokens = fmax(p->tokens, r->tokens);
        p->train_s = fmax(p->train_s, r->seconds);
        p->best_val_loss = fmin(p->best_val_loss, r->val_loss);
    }
    p->metric = metric_reduced(s, p);
    p->tok_per_s = median_rate(s, p);
}

/* ---- the other files --------------------------------------------------------------------------------------------- */

/* What has been read before stays where the file does not say it. */
static void take(double *out, const json_t *object, const char *key) {
    double value = number_or_nan(object, key);
    if (!isnan(value)) *out = value;
}

static void take_text(Results *s, const char **out, const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    if (text != NULL) *out = or_empty(arena_strdup(&s->arena, text));
}

static void plan_read(Results *s, Point *p) {
    json_t *plan = load_json(s, p, "plan.json");
    take(&p->planned_bytes, plan, "planned_bytes");
    take(&p->batch, plan, "batch_size");
    take(&p->ranks, plan, "world_size");
    take_text(s, &p->attention, plan, "attention");
    json_decref(plan);
}

static void summary_read(Results *s, Point *p) {
    json_t *summary = load_json(s, p, "summary.json");
    take(&p->best_val_loss, summary, "best_val_loss");
    take(&p->steps, summary, "steps");
    take(&p->tokens, summary, "tokens");
    take(&p->train_s, summary, "train_s");
    take(&p->planned_bytes, summary, "planned_bytes");
    take(&p->batch, summary, "batch_size");
    take(&p->ranks, summary, "world_size");
    take(&p->peak_bytes, summary, "peak_bytes");
    take_text(s, &p->attention, summary, "attention");
    take_text(s, &p->device, summary, "device");
    take_text(s, &p->host, summary, "host");
    bool best_val_loss = strcmp(s->metric, "val/loss") == 0 && strcmp(s->reduce, "best") == 0;
    if (best_val_loss && !isnan(p->best_val_loss)) p->metric = p->best_val_loss;
    json_decref(summary);
}

/* Waiting points have no files yet, but for what the sweep itself set. */
static void values_read(Point *p) {
    take(&p->batch, p->values, "data.batch_size");
    const json_t *backends = json_object_get(p->values, "attention.backends");
    const char *only = json_array_size(backends) == 1 ? json_string_value(json_array_get(backends, 0)) : NULL;
    if (only != NULL) p->attention = only;
}

void run_read(Results *results, Point *point) {
    point->batch = point->ranks = point->steps = point->tokens = point->train_s = NAN;
    point->best_val_loss = point->planned_bytes = point->peak_bytes = NAN;
    point->attention = point->device = point->host = "";
    records_read(results, point);
    records_reduce(results, point);
    values_read(point);
    plan_read(results, point);
    summary_read(results, point);
}
