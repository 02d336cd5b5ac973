/* scatter_rows: copies columns of x to chosen rows of `out`,
 *
 *     out[b, positions[b, t]] = x[b, t, first .. first + W - 1]
 *
 *   x (B, T, C)   positions (B, T) i32   out (B, rows, W), W <= C - first, of the dtype of x
 *
 * The other rows of `out` stay as they are. A position outside [0, rows) writes nothing. Equal
 * positions in a row b are not allowed: the result would depend on the order. No gradient. */
#pragma once

#include "core/program.h"

typedef struct ScatterRowsAttrs {
    int64_t first;
} ScatterRowsAttrs;

/* inputs x, positions; outputs out. */
extern const Op scatter_rows_op;

/* Records the copy into `out`, which outlives the program.
 *   Errors: STATUS_CONFIG if the shapes or dtypes do not fit. */
void scatter_rows_record(Program *p, Tensor *out, Tensor *x, Tensor *positions, int64_t first);
