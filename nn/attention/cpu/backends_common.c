/* The CPU's rows of the backend table. */
#include "nn/attention/attention.h"
#include "nn/attention/cpu/flash_cpu.h"
#include "nn/attention/cpu/mem_efficient_cpu.h"
#include "nn/attention/cpu/quadratic_cpu.h"

DECLARE_KERNELS(baseline_forward);
DECLARE_KERNELS(baseline_backward);
DECLARE_KERNELS(math_forward);
DECLARE_KERNELS(math_backward);
DECLARE_KERNELS(mem_efficient_forward);
DECLARE_KERNELS(mem_efficient_backward);
DECLARE_KERNELS(flash_forward);
DECLARE_KERNELS(flash_backward);

static const char *refuses_narrow(const AttentionCall *call, const Target *target) {
    (void)target;
    return call->dtype == DTYPE_F32 || call->dtype == DTYPE_F64 ? NULL
                                                                : "needs f32 or f64 on the CPU";
}

static const char *flash_refuses(const AttentionCall *call, const Target *target) {
    if (call->bias != BIAS_NONE) return "takes no arbitrary mask";
    return refuses_narrow(call, target);
}

static size_t quadratic_workspace(const AttentionCall *call, const Target *target) {
    return (size_t)target->threads * quadratic_scratch(call) * dtype_size(call->dtype);
}

static size_t mem_efficient_workspace(const AttentionCall *call, const Target *target) {
    return (size_t)target->threads * mem_efficient_scratch(call) * dtype_size(call->dtype);
}

static size_t flash_workspace(const AttentionCall *call, const Target *target) {
    return (size_t)target->threads * flash_scratch(call) * dtype_size(call->dtype);
}

#define CPU_ROW(backend, refusal, workspace, saves)                                                \
    static const Op backend##_forward_op = {.name = "attention_" #backend,                         \
                                            .gradient = attention_gradient,                        \
                                            .cost = attention_forward_cost,                        \
                                            .cpu_f32 = backend##_forward_cpu_f32,                  \
                                            .cpu_f64 = backend##_forward_cpu_f64};                 \
    static const Op backend##_backward_op = {.name = "attention_" #backend "_backward",            \
                                             .cost = attention_backward_cost,                      \
                                             .cpu_f32 = backend##_backward_cpu_f32,                \
                                             .cpu_f64 = backend##_backward_cpu_f64};               \
    const AttentionBackend attention_##backend##_cpu = {                                           \
        .name = #backend,                                                                          \
        .device = DEVICE_CPU,                                                                      \
        .refuses = refusal,                                                                        \
        .forward_workspace = workspace,                                                            \
        .backward_workspace = workspace,                                                           \
        .saves_weights = saves,                                                                    \
        .forward = &backend##_forward_op,                                                          \
        .backward = &backend##_backward_op,                                                        \
    }

CPU_ROW(baseline, refuses_narrow, quadratic_workspace, true);
CPU_ROW(math, refuses_narrow, quadratic_workspace, true);
CPU_ROW(mem_efficient, refuses_narrow, mem_efficient_workspace, false);
CPU_ROW(flash, flash_refuses, flash_workspace, false);
