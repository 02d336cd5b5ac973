/* Reductions to one number, summed in a fixed order in f64: the same in every run and for every number of threads. */
#pragma once

#include "core/program.h"

enum { NORM_PARTS = 1056 }; /* shares of a norm on CUDA: 8 blocks for each of 132 multiprocessors */

typedef struct ReduceAttrs {
    double scale;
    bool accumulate;
} ReduceAttrs;

/* sum: out = scale * sum(x), or out += that. inputs x; outputs out (1). */
void sum_record(Program *p, Tensor *out, Tensor *x, double scale, bool accumulate);

/* norm: out = sqrt(sum(x^2)), the Euclidean length of a section's flat vector. inputs x; outputs out (1). */
void norm_record(Program *p, Tensor *out, Tensor *x);
