/* The numbers of a point, from the last records of metrics.jsonl and from summary.json. */
#include "launch/run/run_files.h"
#include "launch/study/point.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { TAIL_BYTES = 1 << 14 };

static void step_take(PointStatus *s, double step) {
    if (!isnan(step)) s->step = (int64_t)step;
}

static void record_take(PointStatus *s, const RunRecord *r) {
    step_take(s, r->step);
    take_known(&s->tokens, r->tokens);
    take_known(&s->train_s, r->train_s);
    take_known(&s->train_loss, r->train_loss);
    take_known(&s->val_loss, r->val_loss);
    take_known(&s->tok_per_s, r->tok_per_s);
}

/* For a finished run, whose last step may not have been logged. */
static void facts_take(PointStatus *s, const RunFacts *facts) {
    take_known(&s->best_val_loss, facts->best_val_loss);
    take_known(&s->joules, facts->joules);
    if (strcmp(facts->status, "done") != 0) return;
    take_known(&s->train_s, facts->train_s);
    take_known(&s->tokens, facts->tokens);
    step_take(s, facts->steps);
}

static time_t changed_at(const char *directory) {
    char path[PATH_MAX];
    struct stat info;
    snprintf(path, sizeof path, "%s/metrics.jsonl", directory);
    return stat(path, &info) == 0 ? info.st_mtime : 0;
}

RunPosition point_position(const StudyPoint *point) {
    const PointStatus *s = &point->status;
    RunPosition at = {.step = s->step > 0 ? s->step : 0};
    if (s->tokens > 0) at.tokens = (int64_t)s->tokens;
    if (s->train_s > 0) at.train_s = s->train_s;
    return at;
}

double point_share(const StudyPoint *point) {
    return run_share(&point->config->training.stop, point_position(point));
}

/* The stop rules of its next attempt. */
static ConfigStop end_of(const StudyPoint *point) {
    ConfigStop end = point->config->training.stop;
    if (point->limit != NULL) return point->cut;
    end.time *= point->share;
    end.steps = (int64_t)(point->share * (double)end.steps);
    end.tokens = (int64_t)(point->share * (double)end.tokens);
    if (end.early.tokens > 0) end.tokens = end.early.tokens;
    return end;
}

/* By the first stop rule to be met. `since`: the age in seconds of the numbers of a running run. */
static double seconds_left(const StudyPoint *point, double since) {
    const ConfigStop stop = end_of(point);
    const PointStatus *s = &point->status;
    double left = INFINITY, per_step = s->step > 0 ? s->train_s / (double)s->step : NAN;
    if (stop.time > 0) left = fmin(left, stop.time - (s->step > 0 ? s->train_s : point->from.time));
    if (stop.steps > 0 && s->step > 0) left = fmin(left, (double)(stop.steps - s->step) * per_step);
    if (stop.tokens > 0 && s->step > 0)
        left = fmin(left, ((double)stop.tokens - s->tokens) / s->tok_per_s);
    return isfinite(left) ? fmax(left - since, 0) : NAN;
}

Status point_read_numbers(StudyPoint *point, char summary_status[16], char outcome[16]) {
    PointStatus *s = &point->status;
    Arena arena = {0};
    time_t changed = changed_at(point->directory);
    s->step = -1;
    s->tokens = s->train_s = s->train_loss = s->val_loss = s->best_val_loss = s->tok_per_s = NAN;
    s->joules = NAN;
    RunRecords records;
    RunFacts facts;
    Status status = run_records_read(point->directory, NULL, TAIL_BYTES, &arena, &records);
    for (size_t i = 0; i < records.count; i++) record_take(s, &records.items[i]);
    if (!failed(status)) status = run_facts_read(point->directory, &arena, &facts);
    if (!failed(status)) facts_take(s, &facts);
    if (failed(status)) facts.status = facts.outcome = "";
    snprintf(summary_status, 16, "%s", facts.status);
    snprintf(outcome, 16, "%s", facts.outcome);
    arena_free(&arena);
    bool goes_on = strcmp(summary_status, "running") == 0 && s->step >= 0;
    s->seconds_left = seconds_left(point, goes_on ? difftime(time(NULL), changed) : 0);
    return status;
}
