/* sequence_squares: norms of the gradients that the single sequences of a batch contribute to the
 * weights of a norm layer. With the rows of sequence b and n = (x - mean) rstd,
 *
 *     c[b, 0, j] = sum over its rows of dy[row, j] n[row, j]        gamma
 *     c[b, 1, j] = sum over its rows of dy[row, j]                  beta, with attrs.beta
 *     units[k] = sum over b, and over j in chunk k, of c[b, line, j]^2
 *     whole[k] = sum over j in chunk k of (sum over b of c[b, line, j])^2
 *
 *   dy, x (rows, C)   mean, rstd (rows), of f32 or f64   units, whole: one f64 number per chunk,
 *   as bytes (u8)
 *
 * A chunk is SEQUENCE_SQUARES_COLUMNS columns of a line. The sum of `units` is the sum of |c[b]|^2,
 * that of `whole` is |sum of c[b]|^2. Without a mean (rmsnorm) n = x rstd. A norm without weights
 * has the gradients of weights of 1. Sums in a fixed order. No gradient. Reads dy and x once.
 * Source: Gray et al., arXiv:2411.00999, algorithm 1. */
#pragma once

#include "core/program.h"

enum { SEQUENCE_SQUARES_COLUMNS = 32 };

typedef struct SequenceSquaresAttrs {
    int64_t sequences; /* equal ranges of the rows */
    bool beta;
} SequenceSquaresAttrs;

#ifdef __cplusplus
extern "C" {
#endif

/* inputs dy, x, mean|NULL, rstd; outputs units, whole. */
extern const Op sequence_squares_op;

/* Chunks of a norm layer of C columns. */
int64_t sequence_squares_chunks(int64_t C, bool beta);

/* Parts of a sequence that CUDA sums in separate blocks, so that few sequences fill the GPU. */
int64_t sequence_squares_parts(int64_t sequences);

/* Records it for the backward node of a norm (core/ops/norm.h) whose rows are `sequences`
 * sequences. Errors: STATUS_CONFIG if the rows do not divide. */
Node *sequence_squares_record(Program *p, const Node *norm_backward, int64_t sequences,
                              Tensor *units, Tensor *whole);

#ifdef __cplusplus
}
#endif
