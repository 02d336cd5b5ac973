/* Numbers for a tensor that no data stands behind: what benchmarks and trials compute on. */
#pragma once

#include "core/device.h"

/* t, a bound tensor of reals, gets numbers of a normal distribution of mean 0 and standard
 * deviation 1 from the seed, which repeat after 2^20. Source: Box and Muller 1958. Not collective.
 * Errors: STATUS_FAILURE. */
NODISCARD Status fill_normal(Device *device, const Tensor *t, uint64_t seed);
