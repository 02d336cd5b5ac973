/* Kernel: one row of an op's list. It states the device and the dtypes, the nodes that the kernel
 * refuses, its scratch memory, its speed, and the function that runs it.
 *
 * Rows are constants in .c files, compiled in every build, so a build without CUDA records, plans
 * and predicts programs for any GPU. Such a build lacks only the `run` of CUDA rows. */
#pragma once

#include "core/dtype.h"
#include "core/status.h"
#include "core/target.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Node Node;

/* Runs the arithmetic of the node on its tensors. Synchronous on the CPU; enqueues on `stream` on a
 * GPU. */
typedef Status (*KernelFn)(const Node *node, void *stream);

/* The precision in which a GPU computes a node: 16 bits, f32 through tf32, true f32, eight bits. */
typedef enum Precision {
    PRECISION_HALF,
    PRECISION_TF32,
    PRECISION_SINGLE,
    PRECISION_EIGHT,
    PRECISIONS
} Precision;

/* The launch time of the kernel in microseconds, and the fractions of the device's ceilings that it
 * reaches; 0: not a limit (core/perf/predict.h). */
typedef struct KernelSpeed {
    double launch_us, flops, bytes;
} KernelSpeed;

typedef struct Kernel {
    const char *name;  /* of the backend, if the op has several on one device; else NULL */
    const char *shown; /* in tables and traces; NULL: the name of the op */
    DeviceKind device;
    unsigned dtypes; /* set of DTYPE_BIT: the supported values of Node.dtype */

    /* The permanent reason why the kernel cannot run this node on this target ("needs sm_90"); NULL
     * if it can. A NULL function refuses nothing. */
    const char *(*refuses)(const Node *node, const Target *target);

    /* Bytes of scratch memory, in Node.workspace. NULL: none. */
    size_t (*workspace)(const Node *node, const Target *target);

    KernelSpeed speed[PRECISIONS]; /* all 0: not predicted */

    /* Whether the node lacks what costs the kernel extra time, such as an epilogue; its speed is
     * then `simple_speed`. NULL: one speed for all nodes. Asked when a program is predicted,
     * because a fusion may change a recorded node. */
    bool (*is_simple)(const Node *node);
    KernelSpeed simple_speed[PRECISIONS];

    /* CUDA: many short blocks, so a concurrent collective takes only its share of the
     * multiprocessors. A matrix product has one long block per multiprocessor and waits a full wave
     * for the few that a collective occupies. */
    bool yields;

    KernelFn run; /* NULL: this build has no CUDA */
    /* The same for f64 and for bf16 (core/cpu/real.h); NULL: `run` supports all dtypes. */
    KernelFn run_f64, run_bf16;
} Kernel;

/* A CUDA row's `run`. The constant condition leaves no reference in a build without CUDA;
 * SConstruct defines HOURGLASS_CUDA as 0 or 1. */
#define CUDA_RUN(function) (HOURGLASS_CUDA ? (function) : NULL)

/* Declares the functions of an op's kernels from their common name; the CPU's is compiled three
 * times. */
#define DECLARE_KERNELS(name)                                                                      \
    Status name##_cpu_f32(const Node *node, void *stream);                                         \
    Status name##_cpu_f64(const Node *node, void *stream);                                         \
    Status name##_cpu_bf16(const Node *node, void *stream);                                        \
    Status name##_cuda(const Node *node, void *stream)

/* Initializers of a row: CPU_ROW(norm_backward, .workspace = parts_cpu). A wide row has no bf16. */
#define CPU_ROW(function, ...)                                                                     \
    {                                                                                              \
        .device = DEVICE_CPU, .dtypes = DTYPES_CPU, .run = function##_cpu_f32,                     \
        .run_f64 = function##_cpu_f64, .run_bf16 = function##_cpu_bf16, __VA_ARGS__                \
    }
#define CPU_WIDE_ROW(function, ...)                                                                \
    {                                                                                              \
        .device = DEVICE_CPU, .dtypes = DTYPES_F32_F64, .run = function##_cpu_f32,                 \
        .run_f64 = function##_cpu_f64, __VA_ARGS__                                                 \
    }
#define CUDA_ROW(function, types, ...)                                                             \
    { .device = DEVICE_CUDA, .dtypes = (types), .run = CUDA_RUN(function##_cuda), __VA_ARGS__ }

/* The kernels of an op, in order of preference:
 *
 *     .kernels = KERNELS(CPU_KERNEL(gelu), CUDA_KERNEL(gelu, DTYPES_REAL, .speed = ...)) */
#define CPU_KERNEL(...) &(const Kernel)CPU_ROW(__VA_ARGS__)
#define CPU_WIDE_KERNEL(...) &(const Kernel)CPU_WIDE_ROW(__VA_ARGS__)
#define CUDA_KERNEL(...) &(const Kernel)CUDA_ROW(__VA_ARGS__)
#define KERNELS(...)                                                                               \
    (const Kernel *const[]) { __VA_ARGS__, NULL }

/* .speed for kernels that are equally fast in all precisions. */
#define SPEED(...)                                                                                 \
    {                                                                                              \
        [PRECISION_HALF] = {__VA_ARGS__}, [PRECISION_TF32] = {__VA_ARGS__}, [PRECISION_SINGLE] = { \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

/* The default speed of a memory-bound kernel without measurements. */
#define MEMORY_SPEED SPEED(3.0, 0, 0.80)

#ifdef __cplusplus
}
#endif
