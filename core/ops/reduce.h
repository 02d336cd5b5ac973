/* Reductions to one number, summed in a fixed order in f64: the same result in every run and for
 * any number of threads. */
#pragma once

#include "core/element_range.h"
#include "core/program.h"

enum { L2_NORM_PARTS = 256 }; /* default number of parts of a range */

typedef struct ReduceAttrs {
    double scale;
    bool accumulate;
} ReduceAttrs;

/* sum: out = scale * sum(x), added to out with accumulate. inputs x; outputs out (1). */
void sum_record(Program *p, Tensor *out, Tensor *x, double scale, bool accumulate);

/* squares: sums of x^2 over parts of ranges of a long vector: out[s * parts + i] = sum of x^2 over
 * part i of range s, and 0 for i outside `own`. The sum over ranks that own different parts
 * therefore equals the result of a single rank, bit by bit. inputs x; outputs out, n_ranges * parts
 * f64 numbers as bytes (u8). */
typedef struct SquaresAttrs {
    const ElementRange *ranges; /* must outlive the program */
    int n_ranges;
    int64_t parts;
    ElementRange own; /* the owned parts of each range */
} SquaresAttrs;
void squares_record(Program *p, SquaresAttrs attrs, Tensor *out, Tensor *x);

/* L2 norm: out = sqrt(sum of squares), added in order. inputs squares; outputs out (1). */
void l2_norm_record(Program *p, Tensor *out, Tensor *squares);

/* The same of one tensor: out = sqrt(sum(x^2)): squares and L2 norm of a single range, all of x. */
void l2_norm_of_record(Program *p, Tensor *out, Tensor *x);
