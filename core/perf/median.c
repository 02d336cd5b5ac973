#include "core/perf/median.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void values_sort(double *values, size_t count) { qsort(values, count, sizeof *values, ascending); }

double values_median(double *values, size_t count) {
    if (count == 0) return NAN;
    values_sort(values, count);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

Spread values_spread(double *values, size_t count) {
    double median = values_median(values, count);
    if (count == 0) return (Spread){NAN, NAN, NAN};
    size_t quarter = (count - 1) / 4;
    return (Spread){median, values[quarter], values[count - 1 - quarter]};
}
