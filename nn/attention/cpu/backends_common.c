/* The CPU's rows of the attention backends. */
#include "nn/attention/backend.h"
#include "nn/attention/cpu/flash_cpu.h"
#include "nn/attention/cpu/mem_efficient_cpu.h"
#include "nn/attention/cpu/quadratic_cpu.h"

static const char *bias_refused(const Node *node, const Target *target) {
    (void)target;
    return attention_call(node)->bias == BIAS_NONE ? NULL : "takes no arbitrary mask";
}

/* Each thread has a separate workspace. */
static size_t threads_bytes(const Node *node, const Target *target, size_t elements) {
    return (size_t)target->threads * elements * dtype_size(dtype_wide(node->dtype));
}

static size_t quadratic_workspace(const Node *node, const Target *target) {
    return threads_bytes(node, target, quadratic_scratch(attention_call(node)));
}

static size_t mem_efficient_workspace(const Node *node, const Target *target) {
    return threads_bytes(node, target, mem_efficient_scratch(attention_call(node)));
}

static size_t flash_workspace(const Node *node, const Target *target) {
    return threads_bytes(node, target, flash_scratch(attention_call(node)));
}

#define CPU_BACKEND(backend, refusal, bytes, saves)                                                \
    DECLARE_KERNELS(backend##_forward);                                                            \
    DECLARE_KERNELS(backend##_backward);                                                           \
    const AttentionBackend attention_##backend##_cpu = {                                           \
        .forward = CPU_ROW(backend##_forward, ATTENTION_FORWARD(#backend), .refuses = refusal,     \
                           .workspace = bytes),                                                    \
        .backward = CPU_ROW(backend##_backward, ATTENTION_BACKWARD(#backend), .refuses = refusal,  \
                            .workspace = bytes),                                                   \
        .lse = DTYPE_F64,                                                                          \
        .saves_weights = saves,                                                                    \
    }

CPU_BACKEND(baseline, NULL, quadratic_workspace, true);
CPU_BACKEND(math, NULL, quadratic_workspace, true);
CPU_BACKEND(mem_efficient, NULL, mem_efficient_workspace, false);
CPU_BACKEND(flash, bias_refused, flash_workspace, false);
