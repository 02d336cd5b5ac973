/* Reductions to one number, summed in a fixed order in f64: the same in every run and for every
 * number of threads. */
#pragma once

#include "core/element_range.h"
#include "core/program.h"

enum { NORM_PARTS = 256 }; /* default number of parts of a range */

typedef struct ReduceAttrs {
    double scale;
    bool accumulate;
} ReduceAttrs;

/* sum: out = scale * sum(x), or out += that. inputs x; outputs out (1). */
void sum_record(Program *p, Tensor *out, Tensor *x, double scale, bool accumulate);

/* squares: sums of x^2 over parts of ranges of a long vector: out[s * parts + i] = sum of x^2 over
 * part i of range s, and 0 where i is not in `own`. So ranks that own other parts of the same
 * ranges add up to what one rank finds by itself, in every bit. inputs x; outputs out, n_ranges *
 * parts numbers of f64 as bytes (u8). */
typedef struct SquaresAttrs {
    const ElementRange *ranges; /* must outlive the program */
    int n_ranges;
    int64_t parts;
    ElementRange own; /* parts of each range */
} SquaresAttrs;
void squares_record(Program *p, SquaresAttrs attrs, Tensor *out, Tensor *x);

/* norm: out = sqrt(sum of squares), added in their order. inputs squares; outputs out (1). */
void norm_record(Program *p, Tensor *out, Tensor *squares);

/* norm_of: out = sqrt(sum(x^2)), both at once: x is one range. */
void norm_of_record(Program *p, Tensor *out, Tensor *x);
