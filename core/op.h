/* An op is a descriptor: a name, a gradient rule, a cost, and a kernel for each device. It is
 * defined where it belongs (core/ops/, nn/attention/, dist/); there is no central list of ops. A
 * node is one use of an op in a program. */
#pragma once

#include "core/status.h"
#include "core/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Program Program;
typedef struct Node Node;
typedef struct Device Device;

/* Runs the node's arithmetic on its tensors: on the CPU before it returns, on a GPU by enqueueing
 * on `stream`. */
typedef Status (*KernelFn)(const Node *node, void *stream);

/* Appends the ops that compute the gradients of node->inputs from those of node->outputs: see
 * core/autodiff.h. */
typedef void (*GradientFn)(Program *p, const Node *node);

/* What a kernel cannot avoid: arithmetic, and bytes read and written once. */
typedef struct Cost {
    double flops, bytes;
} Cost;
typedef Cost (*CostFn)(const Node *node);

typedef struct Op {
    const char *name;
    GradientFn gradient;             /* NULL: no gradient flows through it */
    CostFn cost;                     /* NULL: its tensors' bytes, no arithmetic */
    KernelFn cpu_f32, cpu_f64, cuda; /* NULL: this device does not have it */
    bool yields; /* CUDA: many short blocks, beside which a collective takes only its share of the
                    multiprocessors. A product, one long block on each, waits a whole round for the
                    few that a collective holds. */
} Op;

/* KERNELS(layernorm_forward): the three kernels of an op by their common name, declared and as an
 * initializer. */
#define DECLARE_KERNELS(name)                                                                      \
    Status name##_cpu_f32(const Node *node, void *stream);                                         \
    Status name##_cpu_f64(const Node *node, void *stream);                                         \
    Status name##_cuda(const Node *node, void *stream)
#define KERNELS(name) .cpu_f32 = name##_cpu_f32, .cpu_f64 = name##_cpu_f64, .cuda = name##_cuda

enum { NODE_MAX_TENSORS = 12 }; /* inputs of a node, and outputs */

struct Node {
    const Op *op;
    const char *label; /* the layer that recorded it, as "h.3.mlp"; never NULL */
    const void *attrs; /* the op's own struct */
    int n_inputs, n_outputs;
    Tensor **inputs, **outputs; /* what it reads; what it writes (and reads first, where it
                                   accumulates); may hold NULL */
    Tensor *workspace;          /* scratch that lives during this node alone; may be NULL */
    bool differentiated;        /* its gradient has been recorded */
};

/* The dtype that decides which CPU kernel runs: that of the first floating-point tensor among
 * outputs, then inputs. */
DType node_dtype(const Node *node);

Cost node_cost(const Node *node);

/* The node's kernel for a device; NULL where it has none. */
typedef enum DeviceKind { DEVICE_CPU, DEVICE_CUDA } DeviceKind;
KernelFn node_kernel(const Node *node, DeviceKind kind);

#ifdef __cplusplus
}
#endif
