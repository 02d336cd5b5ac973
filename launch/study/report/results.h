/* A study for the report: its points with the results of their runs, in series along an axis. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"
#include "launch/run/run_files.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* NaN, or "" for texts, if unknown. */
typedef struct Point {
    const char *name, *state, *message, *directory;
    json_t *values;     /* the swept values: {"data.batch_size": 12, ...} */
    const char *seed;   /* as text */
    const char *series; /* all values except x and the seed, as one label */
    int series_index;   /* into Results.series_names */
    double x; /* position along the chart's axis; the index of a category if Results.x_names is not
                 NULL */
    double attempts;
    double batch, ranks; /* sequences per rank; ranks */
    double steps, tokens, train_s, best_val_loss, tok_per_s;
    double predicted_rate; /* tokens/s, by the plan; without communication */
    double metric;         /* report.metric reduced by report.reduce */
    double last_val_loss;
    bool is_infinite;   /* the metric or the last validation loss was not finite; then it is NaN */
    double step_tokens; /* per optimizer step */
    double joules, tok_per_joule;
    const char *at, *trunk; /* of a branch: the share at which it starts, and of which run; NULL */
    double fork_tokens, tolerance; /* the tokens of that position; see branches.h */
    double difference;             /* set by branches_read */
    double planned_bytes, peak_bytes;
    double val_tokens, block_size; /* of an evaluation; of its contexts at most */
    const char *val_hash;          /* of the data that it reads; "": unknown */
    const char *attention, *device, *host;
    const char *remark; /* why its result needs care, or "": see remarks.h */
    const RunRecord *records;
    size_t n_records;
} Point;

typedef struct Results {
    const char *directory, *name, *metric, *reduce;
    const char *x_key, *series_key; /* NULL: none */
    Point *points;
    size_t n_points;
    const char **series_names;
    int n_series;
    const char **x_names; /* of categories; NULL if x is a number */
    int n_x_names;
    const char *budget; /* "20 s of training" if equal for all points, else "" */
    json_t *root;
    Arena arena; /* owns everything except the objects of root */
} Results;

/* Reads STUDY/sweep.json and the runs. Errors: STATUS_DATA; STATUS_FAILURE if memory is out. */
NODISCARD Status results_load(const char *directory, Results **out);
void results_destroy(Results **results);

/* Reads records, summary and plan from the run directory. Missing values remain unknown. Errors:
 * STATUS_FAILURE if the machine cannot read it. */
NODISCARD Status run_read(Results *results, Point *point);

/* Groups points into series and places them along x. Requires run_read. */
NODISCARD Status results_arrange(Results *results);

bool point_is(const Point *point, const char *state);

/* value_text: a value as text, `flash` for ["flash"]. key_text: the last part of a key, `batch` for
 * data.batch_size. */
const char *value_text(Results *results, const json_t *value);
const char *key_text(const char *key);

/* The points of one series at one x, over seeds. */
typedef struct Mark {
    int series;
    double x;
    int points;      /* all of them */
    int oom, failed; /* those that did not fit; other failures */
    int n;           /* those with a value */
    int remarked;    /* of those, points with a remark */
    double mean, low, high;
    double step_low, step_high; /* their tokens per step, which seeds have in common */
    double half; /* mean +- half covers the true mean with probability CONFIDENCE; NaN for n < 2 */
    double deviation; /* of the values; NaN for n < 2 */
} Mark;

typedef double (*PointFn)(const Point *point);

/* Groups the points by series and x_of; skips points whose x is NaN. Calls `value_of` for finished
 * points. Sorted by series, then x. *marks belongs to the study. */
NODISCARD Status results_marks(Results *results, PointFn x_of, PointFn value_of, Mark **marks,
                               size_t *count);

double point_x(const Point *point);
double point_batch(const Point *point);
double point_metric(const Point *point);
double point_rate(const Point *point);
double point_peak(const Point *point);
double point_joules(const Point *point);
double point_step_tokens(const Point *point);
double point_difference(const Point *point);
double point_planned(const Point *point);
