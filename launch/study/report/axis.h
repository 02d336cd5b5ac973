/* An axis of a chart: its range, its ticks, and how gnuplot is told. */
#pragma once

#include "launch/study/report/results.h"

#include <stdio.h>

enum { MOST_TICKS = 24 };

typedef struct Axis {
    char letter; /* 'x' or 'y' */
    bool log;
    double low, high;
    double ticks[MOST_TICKS];
    const char *tick_texts[MOST_TICKS]; /* borrowed; NULL: the number */
    int n_ticks;
    const char *label;
} Axis;

/* Values on their way to a range; what is not finite is passed over. */
typedef struct Span {
    double low, high;
    size_t count;
} Span;

void span_add(Span *span, double value);

/* Round ticks over the span, with `room` (a share of it) above and below. Logarithmic only where
 * all is above 0. */
void axis_fit(Axis *axis, const Span *span, bool log, double room);

/* Ticks at the values themselves (ascending), for what was chosen rather than measured: batch
 * sizes, categories. Logarithmic where they span a factor of ten or more. */
void axis_fit_values(Axis *axis, const double *values, const char *const *texts, int count);

/* Where a value lies, 0 to 1 along the axis; and the value there. */
double axis_share(const Axis *axis, double value);
double axis_value(const Axis *axis, double share);

/* Range, scale, ticks and label as gnuplot's commands. */
void axis_put(FILE *file, const Axis *axis);
