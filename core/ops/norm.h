/* Normalization of the last dimension, with the residual sum before it: one pass over memory for
 *
 *     sum = x + branch
 *     NORM_LAYER   y = (sum - mean(sum)) / sqrt(var(sum) + eps) * gamma + beta
 *     NORM_RMS     y = sum / sqrt(mean(sum^2) + eps) * gamma
 *
 *   x, branch, sum, y (..., C)   gamma, beta (C)   mean, rstd (rows), of f32 or f64
 *
 * Without a branch the sum is x itself. Without gamma the factor is 1.
 *
 * With a scale, y is rounded to its dtype and written in eight bits alone, in f8e4m3, as by
 * core/ops/quantize.h: as q, as the transposed q, or both: core/passes/fuse_quantize.h.
 *
 * Sources: Ba et al., arXiv:1607.06450, equation 4, with population variance; Zhang and Sennrich,
 * arXiv:1910.07467, equation 4. */
#pragma once

#include "core/program.h"

typedef enum NormKind { NORM_LAYER, NORM_RMS } NormKind;

typedef struct NormOptions {
    NormKind kind;
    double eps;
} NormOptions;

enum {
    NORM_PARTS = 32,  /* row parts of the gradients of gamma and beta on the CPU */
    NORM_BLOCKS = 264 /* the same on CUDA, one block each: two per multiprocessor of 132 */
};

typedef struct NormAttrs {
    NormOptions options;
    bool accumulate; /* backward: add to dx, dgamma, dbeta */
    bool accumulate_gamma, accumulate_beta;
} NormAttrs;

/* Positions of the inputs and outputs that only the fused op has. */
enum { NORM_SCALE = 4, NORM_Q = 4, NORM_TRANSPOSED, NORM_OBSERVED, NORM_OUTPUTS };

/* inputs x, branch|NULL, gamma|NULL, beta|NULL, scale|NULL; outputs y (with a scale: NULL),
 * sum|NULL, mean (layernorm; rmsnorm: NULL), rstd, q|NULL, transposed|NULL, observed|NULL. */
extern const Op layernorm_op, rmsnorm_op;

/* inputs dy, sum, gamma|NULL, mean|NULL, rstd; outputs dx|NULL, dgamma|NULL, dbeta|NULL. */
extern const Op layernorm_backward_op, rmsnorm_backward_op;

/* Records y and the sum; *sum is x + branch, or x if branch is NULL. Branch, gamma and beta may be
 * NULL; beta needs gamma and NORM_LAYER. */
Tensor *norm_record(Program *p, Tensor *x, Tensor *branch, Tensor *gamma, Tensor *beta,
                    NormOptions options, Tensor **sum);
