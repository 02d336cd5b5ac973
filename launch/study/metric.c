#include "launch/study/metric.h"

#include "launch/run/phases.h"

#include <math.h>
#include <string.h>

bool metric_is_rate(const char *metric) {
    static const char *const rates[] = {"tok_per_s", "tok_per_joule", "mfu"};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        if (strcmp(metric, rates[i]) == 0) return true;
    }
    return false;
}

static bool is_better(const char *metric, double a, double b) {
    return isnan(b) || (metric_is_rate(metric) ? a > b : a < b);
}

double metric_reduced(const RunRecord *records, size_t count, const char *metric,
                      const char *reduce) {
    double best = NAN, last = NAN, sum = 0, n = 0;
    for (size_t i = 0; i < count; i++) {
        double value = records[i].metric;
        if (isnan(value)) continue;
        last = value;
        sum += value;
        n++;
        if (is_better(metric, value, best)) best = value;
    }
    return strcmp(reduce, "last") == 0 ? last : strcmp(reduce, "mean") == 0 ? sum / n : best;
}

static double share_of(const RunRecord *r, const ConfigStop *budget) {
    RunPosition at = {
        .step = (int64_t)r->step, .tokens = (int64_t)r->tokens, .train_s = r->train_s};
    return run_share(budget, at);
}

/* Cuts what follows a stage, which ends with an evaluation: without one, the run has not stopped
 * there. */
static void records_cut(RunRecords *records, const ConfigStop *budget, double share) {
    double last = 0;
    size_t count = 0;
    for (size_t i = 0; i < records->count; i++) {
        double at = share_of(&records->items[i], budget);
        if (metric_is_beyond(at, share)) break;
        if (!isnan(records->items[i].metric)) last = at;
        count++;
    }
    records->count = last < share * 0.95 ? 0 : count;
}

Status metric_read(const char *directory, const char *metric, const char *reduce,
                   const ConfigStop *budget, double share, double *out) {
    Arena arena = {0};
    RunRecords records;
    Status status = run_records_read(directory, metric, 0, &arena, &records);
    if (!failed(status) && share < 1) records_cut(&records, budget, share);
    *out = failed(status) ? NAN : metric_reduced(records.items, records.count, metric, reduce);
    arena_free(&arena);
    return status;
}
