/* Kernel: one row of an op's list. It says on which device and in which dtypes an op runs, when the
 * kernel refuses a node, how much scratch it needs, how fast it is, and which function runs it.
 *
 * Rows are constants in .c files, compiled in every build, so that a build without CUDA records,
 * plans and predicts programs for any GPU. Such a build lacks nothing but the `run` of CUDA rows.
 */
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

/* Runs the node's arithmetic on its tensors: on the CPU before it returns, on a GPU by enqueueing
 * on `stream`. */
typedef Status (*KernelFn)(const Node *node, void *stream);

/* How a GPU computes a node: in 16 bits, in f32 by way of tf32, in true f32. */
typedef enum Precision { PRECISION_HALF, PRECISION_TF32, PRECISION_SINGLE, PRECISIONS } Precision;

/* The time to start the kernel, in microseconds, and the shares of the device's ceilings that it
 * reaches; 0: this side does not count (core/perf/predict.h). */
typedef struct KernelSpeed {
    double launch_us, flops, bytes;
} KernelSpeed;

typedef struct Kernel {
    const char *name;  /* of the backend, where an op has several on one device; else NULL */
    const char *shown; /* in tables and traces; NULL: the op's name */
    DeviceKind device;
    unsigned dtypes; /* a set of DTYPE_BIT: those of Node.dtype that it takes */

    /* Why the kernel cannot run this node on this target ("needs sm_90"), for good; NULL where it
     * can. NULL: it refuses nothing. */
    const char *(*refuses)(const Node *node, const Target *target);

    /* Bytes of scratch, in Node.workspace. NULL: none. */
    size_t (*workspace)(const Node *node, const Target *target);

    KernelSpeed speed[PRECISIONS]; /* all 0: not predicted */

    /* CUDA: many short blocks, beside which a collective takes only its share of the
     * multiprocessors. A product, one long block on each, waits a whole round for the few that a
     * collective holds. */
    bool yields;

    KernelFn run;     /* NULL: this build has no CUDA */
    KernelFn run_f64; /* the same compiled for f64 (core/cpu/real.h); NULL: `run` takes all */
} Kernel;

/* A CUDA row's `run`. The constant condition leaves no reference in a build without CUDA;
 * SConstruct defines HOURGLASS_CUDA as 0 or 1. */
#define CUDA_RUN(function) (HOURGLASS_CUDA ? (function) : NULL)

/* The functions of an op's kernels by their common name: the CPU's is compiled twice. */
#define DECLARE_KERNELS(name)                                                                      \
    Status name##_cpu_f32(const Node *node, void *stream);                                         \
    Status name##_cpu_f64(const Node *node, void *stream);                                         \
    Status name##_cuda(const Node *node, void *stream)

/* Initializers of a row: CPU_ROW(layernorm, .workspace = parts_cpu). */
#define CPU_ROW(function, ...)                                                                     \
    {                                                                                              \
        .device = DEVICE_CPU, .dtypes = DTYPES_F32_F64, .run = function##_cpu_f32,                 \
        .run_f64 = function##_cpu_f64, __VA_ARGS__                                                 \
    }
#define CUDA_ROW(function, types, ...)                                                             \
    { .device = DEVICE_CUDA, .dtypes = (types), .run = CUDA_RUN(function##_cuda), __VA_ARGS__ }

/* An op's list, in the order of preference:
 *
 *     .kernels = KERNELS(CPU_KERNEL(gelu), CUDA_KERNEL(gelu, DTYPES_REAL, .speed = ...)) */
#define CPU_KERNEL(...) &(const Kernel)CPU_ROW(__VA_ARGS__)
#define CUDA_KERNEL(...) &(const Kernel)CUDA_ROW(__VA_ARGS__)
#define KERNELS(...)                                                                               \
    (const Kernel *const[]) { __VA_ARGS__, NULL }

/* .speed where all precisions are alike. */
#define SPEED(...)                                                                                 \
    {                                                                                              \
        [PRECISION_HALF] = {__VA_ARGS__}, [PRECISION_TF32] = {__VA_ARGS__}, [PRECISION_SINGLE] = { \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

/* The speed of a kernel that memory bounds and that nobody has measured by itself. */
#define MEMORY_SPEED SPEED(3.0, 0, 0.80)

#ifdef __cplusplus
}
#endif
