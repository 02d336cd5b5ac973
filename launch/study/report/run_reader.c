/* Reads the files of a run and reduces them to the values in the report. */
#include "core/perf/median.h"
#include "launch/run/run_files.h"
#include "launch/study/metric.h"
#include "launch/study/report/results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The median of the logged values, which ignores the first steps of a resume and short
 * disturbances. */
static double median_rate(Results *s, const Point *p) {
    double *rates = arena_alloc(&s->arena, (p->n_records + 1) * sizeof *rates);
    size_t n = 0;
    for (size_t i = 0; rates != NULL && i < p->n_records; i++) {
        if (!isnan(p->records[i].tok_per_s)) rates[n++] = p->records[i].tok_per_s;
    }
    return values_median(rates, n);
}

static void finite_keep(double *value) {
    if (isinf(*value)) *value = NAN;
}

static void records_reduce(Results *s, Point *p) {
    for (size_t i = 0; i < p->n_records; i++) {
        const RunRecord *r = &p->records[i];
        p->steps = fmax(p->steps, r->step);
        p->tokens = fmax(p->tokens, r->tokens);
        p->train_s = fmax(p->train_s, r->train_s);
        p->peak_bytes = fmax(p->peak_bytes, r->mem_bytes);
        p->best_val_loss = fmin(p->best_val_loss, r->val_loss);
        take_known(&p->last_val_loss, r->val_loss);
    }
    p->metric = metric_reduced(p->records, p->n_records, s->metric, s->reduce);
    p->is_infinite = isinf(p->metric) || isinf(p->last_val_loss);
    finite_keep(&p->metric);
    finite_keep(&p->last_val_loss);
    finite_keep(&p->best_val_loss);
    p->tok_per_s = median_rate(s, p);
}

/* Points that wait have no files yet, only the values of the sweep. */
static void values_read(Point *p) {
    const json_t *batch = json_object_get(p->values, "data.batch_size");
    if (json_is_number(batch)) p->batch = json_number_value(batch);
    const json_t *backends = json_object_get(p->values, "attention.backends");
    const char *only =
        json_array_size(backends) == 1 ? json_string_value(json_array_get(backends, 0)) : NULL;
    if (only != NULL) p->attention = only;
}

static void facts_take(const Results *s, Point *p, const RunFacts *f) {
    take_known(&p->best_val_loss, f->best_val_loss);
    take_known(&p->steps, f->steps);
    take_known(&p->tokens, f->tokens);
    take_known(&p->train_s, f->train_s);
    take_known(&p->predicted_rate, f->tokens_per_step / f->predicted_step_s);
    take_known(&p->planned_bytes, f->planned_bytes);
    take_known(&p->batch, f->batch_size);
    take_known(&p->ranks, f->world_size);
    take_known(&p->peak_bytes, f->peak_bytes);
    p->step_tokens = f->tokens_per_step;
    p->val_tokens = f->val_tokens;
    p->block_size = f->block_size;
    p->val_hash = f->val_hash;
    p->joules = f->joules;
    p->tok_per_joule = f->tokens / f->joules;
    if (*f->attention != 0) p->attention = f->attention;
    p->device = f->device;
    p->host = f->host;
    bool best_val_loss = strcmp(s->metric, "val/loss") == 0 && strcmp(s->reduce, "best") == 0;
    if (best_val_loss && !isnan(p->best_val_loss)) p->metric = p->best_val_loss;
}

Status run_read(Results *results, Point *point) {
    point->batch = point->ranks = point->steps = point->tokens = point->train_s = NAN;
    point->last_val_loss = point->step_tokens = point->difference = NAN;
    point->joules = point->tok_per_joule = NAN;
    point->best_val_loss = point->planned_bytes = point->peak_bytes = point->predicted_rate = NAN;
    point->attention = point->remark = "";
    RunRecords records;
    RunFacts facts;
    TRY(run_records_read(point->directory, results->metric, 0, &results->arena, &records));
    point->records = records.items;
    point->n_records = records.count;
    records_reduce(results, point);
    values_read(point);
    TRY(run_facts_read(point->directory, &results->arena, &facts));
    facts_take(results, point, &facts);
    return OK;
}
