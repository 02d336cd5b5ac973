/* Statistics of small samples: Student's t, intervals of means and of paired differences, a line
 * and a parabola by least squares. Pure functions; not collective.
 *
 * Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.5 and 26.7. */
#pragma once

#include <stdbool.h>

/* The level of all intervals of a study. */
#define CONFIDENCE 0.95

/* P(|T| <= t) for `freedom` degrees of freedom, and its inverse. Infinite `freedom`: the normal
 * distribution. NaN for freedom below 1. */
double t_share(double t, double freedom);
double t_quantile(double share, double freedom);

/* value +- half covers the mean with probability CONFIDENCE. half is NaN if it is unknown. */
typedef struct Interval {
    double value, half;
    int n; /* of the values */
    double
        deviation; /* their standard deviation, sqrt(sum (x - mean)^2 / (n - 1)); NaN for n < 2 */
} Interval;

/* mean +- t s / sqrt(n). */
Interval mean_interval(const double *values, int n);

/* The interval of the mean of a[i] - b[i]. */
Interval difference_interval(const double *a, const double *b, int n);

/* Whether the interval excludes 0. False if its half is unknown. */
bool interval_tells(const Interval *difference);

/* The least number of values, at most 9999, with which an interval of this mean and deviation
 * would exclude 0; 0 if no number up to 9999 suffices or the deviation is unknown. */
int values_to_tell(const Interval *difference);

/* y = at + slope (x - mean of x) by least squares. slope.half from the residuals, with n - 2
 * degrees of freedom; NaN for n < 3. slope.value is NaN if all x are equal. */
typedef struct LineFit {
    double x, at;
    Interval slope;
} LineFit;

LineFit line_fit(const double *x, const double *y, int n);

/* The minimum of the parabola through (x, y) by least squares. `deviation` is the standard
 * deviation of a y, with `freedom` degrees of freedom; it gives the half widths to first order:
 *
 *     y = a + b u + c u^2, u = x - mean of x;    at = mean of x - b / (2 c)
 *     var(at) = deviation^2 g' (X'X)^-1 g,       g = d at / d (a, b, c)
 *
 * at.value is NaN without a minimum: n < 3, or c <= 0. */
typedef struct ParabolaFit {
    Interval at;
    double least, curvature; /* y at the minimum; c */
} ParabolaFit;

ParabolaFit parabola_fit(const double *x, const double *y, int n, double deviation, double freedom);
