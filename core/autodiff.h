/* Reverse-mode differentiation: appends to a program the ops that compute its gradients.
 *
 * The nodes are walked backwards; each node's gradient rule asks where the gradients of its inputs
 * belong (autodiff_target) and records ops that write there. A tensor used several times gets its
 * gradient in one place: the first writer sets it, later ones accumulate. No zeroing, no temporary
 * sums.
 * Source: Griewank and Walther, "Evaluating Derivatives", 2nd ed., section 3.2 (reverse mode). */
#pragma once

#include "core/program.h"

/* Where a gradient rule writes. `grad` is NULL where it is not wanted; with `accumulate` the op
 * adds to what is there. */
typedef struct GradTarget {
    Tensor *grad;
    bool accumulate;
} GradTarget;

/* The gradient of `t` (a parameter) is wanted in `grad`, which may live in a store. With
 * `accumulate` it already holds earlier micro-batches' sum. */
void autodiff_watch(Program *p, const Tensor *t, Tensor *grad, bool accumulate);

/* Where to write the next contribution to the gradient of `t`. Call it once a contribution, and
 * record the op at once. */
GradTarget autodiff_target(Program *p, const Tensor *t);

/* The gradient of `t` receives exactly `grad`: shared without a copy where that is safe. */
void autodiff_share(Program *p, const Tensor *t, Tensor *grad);

/* The gradient collected for `t`; NULL where nothing has contributed. */
Tensor *autodiff_gradient(Program *p, const Tensor *t);

/* The same, for a rule that changes it in place: a copy where its memory is wanted for anything
 * else. */
Tensor *autodiff_exclusive(Program *p, const Tensor *t);

/* Marks a node whose gradient its recorder has written already (the loss), so that the walk passes
 * it. */
void autodiff_done(Node *node);

/* Walks all nodes recorded so far. The gradients of what has none yet (the loss's input) must have
 * been started. */
void autodiff_run(Program *p);
