/* layernorm, with the residual sum before it: one pass over memory for
 *
 *     sum = x + branch
 *     y = (sum - mean(sum)) / sqrt(var(sum) + eps) * gamma + beta    over the last dimension
 *
 *   x, branch, sum, y (..., C)   gamma, beta (C)   mean, rstd (rows), of f32 or f64
 *
 * Without a branch the sum is x itself. Source: Ba et al., arXiv:1607.06450, equation 4, with
 * population variance. */
#pragma once

#include "core/program.h"

enum {
    LAYERNORM_PARTS = 32,  /* row parts of the gradients of gamma and beta on the CPU */
    LAYERNORM_BLOCKS = 264 /* the same on CUDA, one block each: two per multiprocessor of 132 */
};

typedef struct LayernormAttrs {
    double eps;
    bool accumulate; /* backward: add to dx, dgamma, dbeta */
    bool accumulate_gamma, accumulate_beta;
} LayernormAttrs;

/* inputs x, branch|NULL, gamma, beta|NULL; outputs y, sum|NULL, mean, rstd. */
extern const Op layernorm_op;

/* inputs dy, sum, gamma, mean, rstd; outputs dx, dgamma|NULL, dbeta|NULL. */
extern const Op layernorm_backward_op;

/* Records both; *sum is x + branch, or x if branch is NULL. */
Tensor *layernorm_record(Program *p, Tensor *x, Tensor *branch, Tensor *gamma, Tensor *beta,
                         Tensor **sum);
