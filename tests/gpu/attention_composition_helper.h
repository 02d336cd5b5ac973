/* Causal self-attention over the model's packed qkv as separate 16-bit ops compute it, for
 * case_role's composition: in f64 on the CPU, with every stored intermediate result rounded.
 * Forward: q and k times the root of the scale (PRESCALED, as in PyTorch) or not (as in nanoGPT),
 * their product, softmax, dropout. Backward: the gradient of dropout's output, the gradient of the
 * scores. Source: nn/attention/cuda/quadratic/quadratic_cuda.cu, docs/numerics.md. */
#pragma once

#include "core/program.h"

typedef struct ComposedAttention {
    int64_t NH;
    double dropout;
    bool prescaled;
    DType dtype; /* the dtype of stored results */
} ComposedAttention;

/* qkv (B, T, 3C) to out (B, T, C), differentiable; `step` is the u8 tensor of the StepState. */
Tensor *attention_composed_record(Program *p, Tensor *qkv, Tensor *step,
                                  ComposedAttention attention);
