/* Random tensor contents for benchmarks and trials. */
#pragma once

#include "core/device.h"

/* Fills t, a bound tensor of reals, with normally distributed numbers (mean 0, standard deviation
 * 1) from the seed, repeating after 2^20. Source: Box and Muller 1958. Not collective. Errors:
 * STATUS_FAILURE. */
NODISCARD Status fill_normal(Device *device, const Tensor *t, uint64_t seed);
