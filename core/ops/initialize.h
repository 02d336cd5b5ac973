/* initialize: the initial values of a parameter, a pure function of (seed, parameter, element).
 *
 *     out[i] = 0 in rows from n_rows on; else std * normal(i), or value if std is 0
 *
 * Two normal numbers come from two words of Philox by Box and Muller (1958), in f64, so all devices
 * agree to the last bit, unless the logarithms and cosines of their libraries differ by one ulp.
 * outputs out (rows, columns) or (rows). */
#pragma once

#include "core/program.h"
#include "core/rng.h"

#include <math.h>

typedef struct InitializeAttrs {
    double std, value;
    uint64_t seed;
    int64_t index, n_rows; /* of the parameter; initialized rows */
} InitializeAttrs;

void initialize_record(Program *p, Tensor *out, InitializeAttrs attrs);

/* The high half of the counters of initialization: distinct from those of all dropout masks. */
#define INITIALIZE_COUNTER (UINT64_C(1) << 63)

/* The values of elements 4 group to 4 group + 3, without regard to n_rows. */
RNG_INLINE void initialize_four(const InitializeAttrs *attrs, int64_t group, double out[4]) {
    Philox words =
        philox(attrs->seed, (uint64_t)group, INITIALIZE_COUNTER | (uint64_t)attrs->index);
    for (int k = 0; k < 4; k += 2) {
        double radius = sqrt(-2.0 * log(1.0 - (double)rng_uniform(words.word[k])));
        double angle = 2.0 * 3.14159265358979323846 * (double)rng_uniform(words.word[k + 1]);
        out[k] = attrs->std > 0 ? attrs->std * (radius * cos(angle)) : attrs->value;
        out[k + 1] = attrs->std > 0 ? attrs->std * (radius * sin(angle)) : attrs->value;
    }
}
