/* Order among measurements. Not collective. */
#pragma once

#include <stddef.h>

/* Sorts from the least to the greatest; no value is NaN. */
void values_sort(double *values, size_t count);

/* The middle value, or the mean of the two in the middle; NaN of none. Sorts the values. */
double values_median(double *values, size_t count);
