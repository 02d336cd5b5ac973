/* Causal self-attention over the model's packed qkv as separate 16-bit ops compute it, for
 * case_role's composition: in f64 on the CPU, with all that they would store between them rounded.
 * Forward: q and k times the root of the scale (PRESCALED, PyTorch's) or not (nanoGPT's), their
 * product, softmax, what dropout leaves of it. Backward: the gradient of what dropout has left, the
 * gradient of the scores. Source: nn/attention/cuda/quadratic/quadratic_cuda.cu, docs/numerics.md.
 */
#pragma once

#include "core/program.h"

typedef struct ComposedAttention {
    int64_t NH;
    double dropout;
    bool prescaled;
    DType dtype; /* that what is stored is rounded to */
} ComposedAttention;

/* qkv (B, T, 3C) to out (B, T, C), differentiable; `step` is the u8 tensor of the StepState. */
Tensor *attention_composed_record(Program *p, Tensor *qkv, Tensor *step,
                                  ComposedAttention attention);
