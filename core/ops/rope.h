/* rope_table: the cosines and sines of rotary position embeddings,
 *
 *     table[r, i] = magnitude cos(position[r] radians[i])
 *     table[r, pairs + i] = magnitude sin(position[r] radians[i])        for i < pairs
 *
 * computed in double on every device and rounded once. It has no gradient. nn/rope.h computes the
 * frequencies; core/ops/qk.h rotates with the table. Source: Su et al., arXiv:2104.09864, section
 * 3.2.2. */
#pragma once

#include "core/program.h"

enum { ROPE_MAX_PAIRS = 128 };

typedef struct RopeFrequencies {
    int pairs;
    double radians[ROPE_MAX_PAIRS]; /* per position */
    double magnitude;               /* of cos and sin: YaRN's attention factor, else 1 */
} RopeFrequencies;

/* attrs RopeFrequencies; inputs positions|NULL; outputs table. */
extern const Op rope_table_op;

/* Returns the table (rows, 2 pairs) of `dtype`, f32 or f64. positions: (rows) i32, or NULL for 0 to
 * rows - 1.
 *   Errors: STATUS_CONFIG if pairs is outside 1 to ROPE_MAX_PAIRS or positions do not fit. */
Tensor *rope_table_record(Program *p, const RopeFrequencies *frequencies, Tensor *positions,
                          int64_t rows, DType dtype);
