/* A study as a report sees it: its points with what their runs left behind, in series along an
 * axis. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"
#include "launch/run/run_files.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* NaN, or "" for texts, where it is not known (yet). */
typedef struct Point {
    const char *name, *state, *message, *directory;
    json_t *values;     /* what the sweep set: {"data.batch_size": 12, ...} */
    const char *seed;   /* as text */
    const char *series; /* every value but x and the seed, as one label */
    int series_index;   /* into Results.series_names */
    double x; /* along the chart's axis; a category's index where Results.x_names is not NULL */
    double attempts;
    double batch, ranks; /* sequences a rank, ranks */
    double steps, tokens, train_s, best_val_loss, tok_per_s;
    double metric; /* report.metric reduced by report.reduce */
    double planned_bytes, peak_bytes;
    const char *attention, *device, *host;
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
    const char **x_names; /* of categories, NULL where x is a number */
    int n_x_names;
    const char *budget; /* "20 s of training", where all points had the same; or "" */
    json_t *root;
    Arena arena; /* owns all but what root owns */
} Results;

/* Reads STUDY/sweep.json and the runs. Errors: STATUS_DATA, STATUS_FAILURE where memory is out. */
NODISCARD Status results_load(const char *directory, Results **out);
void results_destroy(Results **results);

/* Fills in what the run directory says: records, summary, plan. What is not there stays
 * unknown. Errors: STATUS_FAILURE where the machine cannot read it. */
NODISCARD Status run_read(Results *results, Point *point);

/* Sorts points into series and places them along x. Needs what run_read finds. */
NODISCARD Status results_arrange(Results *results);

bool point_is(const Point *point, const char *state);

/* A value as text, `flash` for ["flash"]; and the last part of a key, `batch` for
 * data.batch_size. */
const char *value_text(Results *results, const json_t *value);
const char *key_text(const char *key);

/* Points of one series at one x, over seeds. */
typedef struct Mark {
    int series;
    double x;
    int points, oom; /* all of them; those that did not fit */
    int n;           /* those with a value */
    double mean, low, high;
} Mark;

typedef double (*PointFn)(const Point *point);

/* Groups the points by series and x_of; points whose x is NaN are left out. `value_of` is asked of
 * points that are done. Sorted by series, then x. *marks is the study's. */
NODISCARD Status results_marks(Results *results, PointFn x_of, PointFn value_of, Mark **marks,
                               size_t *count);

double point_x(const Point *point);
double point_batch(const Point *point);
double point_metric(const Point *point);
double point_rate(const Point *point);
double point_peak(const Point *point);
double point_planned(const Point *point);
