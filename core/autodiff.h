/* Reverse-mode differentiation: appends to a program the ops that compute its gradients.
 *
 * The walk visits the nodes backwards. The gradient rule of each node asks for the destinations of
 * its inputs' gradients (autodiff_target) and records ops that write there. The gradient of a
 * tensor with several uses is collected in one place: the first contribution sets it, later ones
 * accumulate. No zeroing, no temporary sums.
 * Source: Griewank and Walther, "Evaluating Derivatives", 2nd ed., section 3.2 (reverse mode). */
#pragma once

#include "core/program.h"

/* The destination of a gradient rule. `grad` is NULL if the gradient is not needed; with
 * `accumulate` the op adds to its content. */
typedef struct GradTarget {
    Tensor *grad;
    bool accumulate;
} GradTarget;

/* Requests the gradient of the parameter `t` in `grad`, which may live in a store. With
 * `accumulate`, `grad` already holds the sum of earlier micro-batches. */
void autodiff_watch(Program *p, const Tensor *t, Tensor *grad, bool accumulate);

/* The destination of the next contribution to the gradient of `t`. Call it once per contribution,
 * and record the op immediately. */
GradTarget autodiff_target(Program *p, const Tensor *t);

/* Contributes `grad` unchanged to the gradient of `t`: shares the memory if that is safe, copies
 * otherwise. */
void autodiff_share(Program *p, const Tensor *t, Tensor *grad);

/* The gradient collected for `t`; NULL before the first contribution. */
Tensor *autodiff_gradient(Program *p, const Tensor *t);

/* The same, for a rule that changes the gradient in place: a copy if the memory has another use. */
Tensor *autodiff_exclusive(Program *p, const Tensor *t);

/* Marks a node whose gradient is already recorded (the loss); the walk skips it. */
void autodiff_done(Node *node);

/* Walks backwards through all nodes recorded so far. A tensor without consumers (the input of the
 * loss) must already have its gradient. */
void autodiff_run(Program *p);
