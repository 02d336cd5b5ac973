#include "launch/study/report/axis.h"

#include "launch/study/report/text.h"

#include <math.h>
#include <string.h>

void range_add(ValueRange *range, double value) {
    if (!isfinite(value)) return;
    range->low = range->count == 0 ? value : fmin(range->low, value);
    range->high = range->count == 0 ? value : fmax(range->high, value);
    range->count++;
}

double axis_share(const Axis *a, double value) {
    if (a->log) return log(value / a->low) / log(a->high / a->low);
    return (value - a->low) / (a->high - a->low);
}

double axis_value(const Axis *a, double share) {
    if (a->log) return a->low * pow(a->high / a->low, share);
    return a->low + share * (a->high - a->low);
}

static void tick_add(Axis *a, double value) {
    if (value >= a->low && value <= a->high && a->n_ticks < MOST_TICKS)
        a->ticks[a->n_ticks++] = value;
}

/* Ticks at multiples of 1, 2 or 5 times a power of ten; at most seven. */
static void ticks_linear(Axis *a) {
    double step = pow(10, floor(log10((a->high - a->low) / 7)));
    const double factors[] = {1, 2, 2.5, 5, 10};
    int i = 0;
    while (i < 4 && (a->high - a->low) / (step * factors[i]) > 7) i++;
    step *= factors[i];
    for (double k = ceil(a->low / step); k * step <= a->high * (1 + 1e-12); k++)
        tick_add(a, k == 0 ? 0 : k * step);
}

static void ticks_decades(Axis *a, const double *factors, int count) {
    int first = (int)floor(log10(a->low)), last = (int)ceil(log10(a->high));
    a->n_ticks = 0;
    for (int decade = first; decade <= last; decade++) {
        for (int i = 0; i < count; i++) tick_add(a, factors[i] * pow(10, decade));
    }
}

/* The fewer decades, the more ticks in each; a small range gets linear ticks. */
static void ticks_log(Axis *a) {
    const double many[] = {1, 1.5, 2, 3, 4, 5, 7}, some[] = {1, 2, 5}, few[] = {1};
    double ratio = a->high / a->low;
    if (ratio < 3.5)
        ticks_linear(a);
    else if (ratio < 15)
        ticks_decades(a, many, 7);
    else if (ratio < 1500)
        ticks_decades(a, some, 3);
    else
        ticks_decades(a, few, 1);
}

void axis_fit(Axis *a, const ValueRange *range, bool log_wanted, double margin) {
    double low = range->count == 0 ? 0 : range->low, high = range->count == 0 ? 1 : range->high;
    a->log = log_wanted && low > 0;
    a->n_ticks = 0;
    if (high - low <= 1e-9 * fabs(high)) { /* one value: show a range around it */
        double around = high == 0 ? 1 : 0.05 * fabs(high);
        low -= around;
        high += around;
    }
    *a = (Axis){.letter = a->letter, .log = a->log, .low = low, .high = high, .label = a->label};
    double below = axis_value(a, -margin), above = axis_value(a, 1 + margin);
    a->low = !a->log && low >= 0 && below < 0
                 ? 0
                 : below; /* the axis of a quantity that is never negative starts at 0 */
    a->high = above;
    if (a->log)
        ticks_log(a);
    else
        ticks_linear(a);
}

void axis_fit_values(Axis *a, const double *values, const char *const *texts, int count) {
    ValueRange range = {0};
    for (int i = 0; i < count; i++) range_add(&range, values[i]);
    axis_fit(a, &range, range.count > 0 && range.low > 0 && range.high / range.low >= 10,
             count == 1 ? 1 : 0.08);
    if (!a->log && range.count > 1) a->low = range.low - 0.08 * (range.high - range.low);
    a->n_ticks = 0;
    for (int i = 0; i < count && a->n_ticks < MOST_TICKS; i++) {
        bool near = a->n_ticks > 0 &&
                    axis_share(a, values[i]) - axis_share(a, a->ticks[a->n_ticks - 1]) < 0.04;
        if (near) continue;
        a->tick_texts[a->n_ticks] = texts == NULL ? NULL : texts[i];
        a->ticks[a->n_ticks++] = values[i];
    }
}

/* The number of decimals of the tick that needs most. */
static int tick_decimals(const Axis *a) {
    int decimals = 0;
    for (int i = 0; i < a->n_ticks; i++) {
        double scaled = a->ticks[i] * pow(10, decimals);
        while (decimals < 6 && fabs(scaled - round(scaled)) > 1e-6)
            scaled = a->ticks[i] * pow(10, ++decimals);
    }
    return decimals;
}

enum { TICK_ROOM = 32 };

static const char *tick_text(const Axis *a, int i, int decimals, char number[TICK_ROOM]) {
    bool plain = fabs(a->ticks[i]) < 1e6 && decimals < 5 && !(a->log && a->high / a->low >= 15);
    if (a->tick_texts[i] != NULL) return a->tick_texts[i];
    if (plain)
        snprintf(number, TICK_ROOM, "%.*f", decimals, a->ticks[i]);
    else
        snprintf(number, TICK_ROOM, "%.6g", a->ticks[i]);
    return number;
}

int axis_tick_width(const Axis *a) {
    size_t width = 0;
    int decimals = tick_decimals(a);
    for (int i = 0; i < a->n_ticks; i++) {
        char number[TICK_ROOM];
        size_t length = strlen(tick_text(a, i, decimals, number));
        width = length > width ? length : width;
    }
    return (int)width;
}

void axis_put(FILE *file, const Axis *a) {
    int decimals = tick_decimals(a);
    fprintf(file, "%s logscale %c\n", a->log ? "set" : "unset", a->letter);
    fprintf(file, "set %crange [%.9g:%.9g]\nset %ctics (", a->letter, a->low, a->high, a->letter);
    for (int i = 0; i < a->n_ticks; i++) {
        char number[TICK_ROOM];
        if (i > 0) fputs(", ", file);
        put_gnuplot(file, tick_text(a, i, decimals, number));
        fprintf(file, " %.9g", a->ticks[i]);
    }
    fprintf(file, ")\nset %clabel ", a->letter);
    put_gnuplot(file, a->label);
    fputc('\n', file);
}

AxisUnit axis_unit(double most, double base, const char *const labels[4]) {
    AxisUnit unit = {1, labels[0]};
    for (int i = 1; i < 4 && most / unit.size >= base; i++)
        unit = (AxisUnit){unit.size * base, labels[i]};
    return unit;
}

AxisUnit axis_unit_of_rate(double most) {
    static const char *const labels[] = {"tokens/s", "thousand tokens/s", "million tokens/s",
                                         "billion tokens/s"};
    return axis_unit(most, 1000, labels);
}

AxisUnit axis_unit_of_memory(double most) {
    static const char *const labels[] = {"memory, bytes", "memory, KiB", "memory, MiB",
                                         "memory, GiB"};
    return axis_unit(most, 1024, labels);
}
