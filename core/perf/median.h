/* Order statistics of measurements. Not collective. */
#pragma once

#include <stddef.h>

/* Sorts in ascending order; no value is NaN. */
void values_sort(double *values, size_t count);

/* The middle value, or the mean of the two middle values; NaN for no values. Sorts the values. */
double values_median(double *values, size_t count);
