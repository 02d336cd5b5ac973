/* The rows of baseline and math on CUDA. */
#include "nn/attention/backend.h"
#include "nn/attention/cuda/quadratic/quadratic_cuda.h"

DECLARE_KERNELS(baseline_forward);
DECLARE_KERNELS(baseline_backward);
DECLARE_KERNELS(math_forward);
DECLARE_KERNELS(math_backward);

static size_t forward_workspace(const Node *node, const Target *target) {
    (void)target;
    return quadratic_forward_bytes(attention_call(node));
}

static size_t backward_workspace(const Node *node, const Target *target) {
    (void)target;
    return quadratic_backward_bytes(attention_call(node));
}

#define QUADRATIC_BACKEND(backend)                                                                 \
    const AttentionBackend attention_##backend##_cuda = {                                          \
        .forward = CUDA_ROW(backend##_forward, DTYPES_REAL, ATTENTION_FORWARD(#backend),           \
                            .workspace = forward_workspace,                                        \
                            .speed = {[PRECISION_HALF] = {1.0, 0.041, 0},                          \
                                      [PRECISION_TF32] = {1.0, 0.054, 0},                          \
                                      [PRECISION_SINGLE] = {1.0, 0.25, 0}}),                       \
        .backward = CUDA_ROW(backend##_backward, DTYPES_REAL, ATTENTION_BACKWARD(#backend),        \
                             .workspace = backward_workspace, .yields = true,                      \
                             .speed = {[PRECISION_HALF] = {1.0, 0.084, 0},                         \
                                       [PRECISION_TF32] = {1.0, 0.074, 0},                         \
                                       [PRECISION_SINGLE] = {1.0, 0.35, 0}}),                      \
        .lse = DTYPE_F32,                                                                          \
        .saves_weights = true,                                                                     \
    }

QUADRATIC_BACKEND(baseline);
QUADRATIC_BACKEND(math);
