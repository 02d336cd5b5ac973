/* adamw: one update of whole sections, with the gradient clipped by its norm and decay on the first n_decayed elements.
 *
 *     g = grad / loss_scale * min(1, clip / norm)            (norm after the loss scale; no clipping where clip is 0)
 *     m = b1 m + (1 - b1) g          v = b2 v + (1 - b2) g^2
 *     w = w - lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay w)
 *
 * lr and t are read from the StepState. A norm that is not finite changes nothing: the step is skipped, and the host
 * sees the norm. Source: Loshchilov and Hutter, arXiv:1711.05101, algorithm 2. */
#pragma once

#include "core/program.h"

typedef struct AdamwAttrs {
    double beta1, beta2, eps, weight_decay, clip;
    int64_t n_decayed; /* matrices come first in a section; biases and layernorms are not decayed */
} AdamwAttrs;

typedef struct AdamwTensors {
    Tensor *grad, *norm, *step; /* read */
    Tensor *weight, *master;    /* written; master is NULL where the weight itself is f32 (or f64) */
    Tensor *m, *v;
} AdamwTensors;

void adamw_record(Program *p, AdamwAttrs attrs, AdamwTensors tensors);
