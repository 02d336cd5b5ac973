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
