/* Order statistics of measurements. Not collective. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sorts in ascending order; no value is NaN. */
void values_sort(double *values, size_t count);

/* The middle value, or the mean of the two middle values; NaN for no values. Sorts the values. */
double values_median(double *values, size_t count);

/* The median and the quartiles: about half of the values lie from low to high. */
typedef struct Spread {
    double median, low, high;
} Spread;

/* NaN for no values. Sorts the values. */
Spread values_spread(double *values, size_t count);

/* (high - low) / median in percent. */
static inline double spread_percent(Spread spread) {
    return 100 * (spread.high - spread.low) / spread.median;
}

#ifdef __cplusplus
}
#endif
