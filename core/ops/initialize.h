/* initialize: a parameter's first values, from nothing but (seed, which parameter, which element).
 *
 *     out[i] = 0 in rows from n_rows on; else std * normal(i), or, where std is 0, value
 *
 * Two normal numbers come from two words of Philox by Box and Muller (1958), in f64, so that all
 * devices agree to the last bit but where their libraries' logarithms and cosines differ by one.
 * outputs out (rows, columns) or (rows). */
#pragma once

#include "core/program.h"
#include "core/rng.h"

#include <math.h>

typedef struct InitializeAttrs {
    double std, value;
    uint64_t seed;
    int64_t index, n_rows; /* of the parameter; rows that are set */
} InitializeAttrs;

void initialize_record(Program *p, Tensor *out, InitializeAttrs attrs);

/* The high half of initialization's counters: apart from those of every step's masks. */
#define INITIALIZE_COUNTER (UINT64_C(1) << 63)

/* The four values of elements 4 group to 4 group + 3, before n_rows is looked at. */
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
