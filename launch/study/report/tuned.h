/* The tunings of a study for its report: the loss over the tuned value, its optimum by a parabola,
 * and the power of the batch that the optima follow. */
#pragma once

#include "launch/study/report/results.h"
#include "launch/study/statistics.h"

/* Results of candidates over the tuned value, ascending. */
typedef struct TunedCurve {
    double *values, *results;
    int n;
} TunedCurve;

/* One combination of the other keys. */
typedef struct Tuned {
    const json_t *root;      /* in sweep.json */
    const char *key;         /* the tuned key: the first one with numbers */
    const Point *best;       /* a point of the study; NULL: not decided */
    TunedCurve first, whole; /* at the first rung, and at the whole budget */
    double value;            /* of the best */
    ParabolaFit fit; /* of the result over log(value), through the best and its neighbors; at.half
                        from the deviation of the seeds */
    const char *edge;
} Tuned;

typedef struct Tunings {
    Tuned *items;
    size_t count;
} Tunings;

/* Requires results_arrange. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status tunings_read(Results *results, Tunings *out);

/* The exponent a of value ~ batch^a over the optima of one series, by a line through their
 * logarithms. slope.n: the number of optima, slope.value NaN for fewer than 2. */
LineFit tunings_exponent(const Tunings *tunings, int series);

/* The optimum with its interval, "0.0021 (0.0017 to 0.0026)"; the best value without an optimum. */
const char *tuned_text(Results *results, const Tuned *tuned);
