/* An axis of a chart: its range, its ticks, and its gnuplot commands. */
#pragma once

#include "launch/study/report/results.h"

#include <stdio.h>

enum { MOST_TICKS = 24 };

typedef struct Axis {
    char letter; /* 'x' or 'y' */
    bool log;
    double low, high;
    double ticks[MOST_TICKS];
    const char *tick_texts[MOST_TICKS]; /* borrowed; NULL: the number itself */
    int n_ticks;
    const char *label;
} Axis;

/* The range of values; ignores those that are not finite. */
typedef struct ValueRange {
    double low, high;
    size_t count;
} ValueRange;

void range_add(ValueRange *range, double value);

/* Round ticks over the range, with a margin of `margin` (a fraction of the range) on both sides.
 * Logarithmic only if all values are positive. */
void axis_fit(Axis *axis, const ValueRange *range, bool log, double margin);

/* Ticks at the values themselves (ascending), for chosen rather than measured quantities: batch
 * sizes, categories. Logarithmic if they span a factor of ten or more. */
void axis_fit_values(Axis *axis, const double *values, const char *const *texts, int count);

/* The position of a value, 0 to 1 along the axis; and the inverse. */
double axis_share(const Axis *axis, double value);
double axis_value(const Axis *axis, double share);

/* A unit of an axis: values are divided by `size`. */
typedef struct AxisUnit {
    double size;
    const char *label;
} AxisUnit;

/* labels[i] is that of base^i, i from 0 to 3; the largest unit that `most` reaches. */
AxisUnit axis_unit(double most, double base, const char *const labels[4]);

/* The units of throughput (tokens/s) and of memory (bytes). */
AxisUnit axis_unit_of_rate(double most);
AxisUnit axis_unit_of_memory(double most);

/* Bytes of the longest tick's text. */
int axis_tick_width(const Axis *axis);

/* Writes range, scale, ticks and label as gnuplot commands. */
void axis_put(FILE *file, const Axis *axis);
