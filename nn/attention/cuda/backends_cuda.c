/* CUDA's rows of the backend table. */
#include "nn/attention/attention.h"
#include "nn/attention/cuda/common/flash_cuda.h"
#include "nn/attention/cuda/mem_efficient/mem_efficient_cuda.h"
#include "nn/attention/cuda/quadratic/quadratic_cuda.h"

DECLARE_KERNELS(baseline_forward);
DECLARE_KERNELS(baseline_backward);
DECLARE_KERNELS(math_forward);
DECLARE_KERNELS(math_backward);
DECLARE_KERNELS(mem_efficient_forward);
DECLARE_KERNELS(mem_efficient_backward);

static const char *quadratic_refuses(const AttentionCall *call, const Target *target) {
    (void)target;
    return call->dtype == DTYPE_F64 ? "needs f32, f16 or bf16 on CUDA" : NULL;
}

static size_t quadratic_forward_workspace(const AttentionCall *call, const Target *target) {
    (void)target;
    return quadratic_forward_bytes(call);
}

static size_t quadratic_backward_workspace(const AttentionCall *call, const Target *target) {
    (void)target;
    return quadratic_backward_bytes(call);
}

#define CUDA_OPS(backend, shown)                                                                   \
    static const Op backend##_forward_op = {.name = "attention_" shown,                            \
                                            .gradient = attention_gradient,                        \
                                            .cost = attention_forward_cost,                        \
                                            .cuda = backend##_forward_cuda};                       \
    static const Op backend##_backward_op = {.name = "attention_" shown "_backward",               \
                                             .cost = attention_backward_cost,                      \
                                             .cuda = backend##_backward_cuda,                      \
                                             .yields = true}

#define QUADRATIC_ROW(backend)                                                                     \
    CUDA_OPS(backend, #backend);                                                                   \
    const AttentionBackend attention_##backend##_cuda = {                                          \
        .name = #backend,                                                                          \
        .device = DEVICE_CUDA,                                                                     \
        .refuses = quadratic_refuses,                                                              \
        .forward_workspace = quadratic_forward_workspace,                                          \
        .backward_workspace = quadratic_backward_workspace,                                        \
        .saves_weights = true,                                                                     \
        .forward = &backend##_forward_op,                                                          \
        .backward = &backend##_backward_op,                                                        \
    }

/* A row from the entry points of nn/attention/cuda/common/flash_cuda.h. */
#define FLASH_ROW(family)                                                                          \
    static Status family##_forward_cuda(const Node *node, void *stream) {                          \
        AttentionArgs args = attention_forward_args(node);                                         \
        return family##_forward(&((const AttentionAttrs *)node->attrs)->call, &args, stream);      \
    }                                                                                              \
    static Status family##_backward_cuda(const Node *node, void *stream) {                         \
        AttentionArgs args = attention_backward_args(node);                                        \
        return family##_backward(&((const AttentionAttrs *)node->attrs)->call, &args, stream);     \
    }                                                                                              \
    static const char *family##_row_refuses(const AttentionCall *call, const Target *target) {     \
        return family##_refuses(call, target->sm);                                                 \
    }                                                                                              \
    static size_t family##_row_forward_workspace(const AttentionCall *call,                        \
                                                 const Target *target) {                           \
        (void)target;                                                                              \
        return family##_forward_workspace(call);                                                   \
    }                                                                                              \
    static size_t family##_row_backward_workspace(const AttentionCall *call,                       \
                                                  const Target *target) {                          \
        (void)target;                                                                              \
        return family##_backward_workspace(call);                                                  \
    }                                                                                              \
    CUDA_OPS(family, "flash");                                                                     \
    const AttentionBackend attention_##family = {                                                  \
        .name = "flash",                                                                           \
        .device = DEVICE_CUDA,                                                                     \
        .refuses = family##_row_refuses,                                                           \
        .forward_workspace = family##_row_forward_workspace,                                       \
        .backward_workspace = family##_row_backward_workspace,                                     \
        .forward = &family##_forward_op,                                                           \
        .backward = &family##_backward_op,                                                         \
    }

static const char *mem_efficient_row_refuses(const AttentionCall *call, const Target *target) {
    return mem_efficient_refuses(call, target->sm);
}

static size_t no_workspace(const AttentionCall *call, const Target *target) {
    (void)call;
    (void)target;
    return 0;
}

static size_t mem_efficient_row_backward_workspace(const AttentionCall *call,
                                                   const Target *target) {
    (void)target;
    return mem_efficient_backward_workspace(call);
}

CUDA_OPS(mem_efficient, "mem_efficient");
const AttentionBackend attention_mem_efficient_cuda = {
    .name = "mem_efficient",
    .device = DEVICE_CUDA,
    .refuses = mem_efficient_row_refuses,
    .forward_workspace = no_workspace,
    .backward_workspace = mem_efficient_row_backward_workspace,
    .forward = &mem_efficient_forward_op,
    .backward = &mem_efficient_backward_op,
};

QUADRATIC_ROW(baseline);
QUADRATIC_ROW(math);
FLASH_ROW(flash_sm80);
FLASH_ROW(flash_sm90);
