/* An op is a descriptor: a name, a gradient rule, a cost, and a list of kernels. It is defined
 * where it belongs (core/ops/, nn/attention/); there is no central list of ops. A node is one use
 * of an op in a program. */
#pragma once

#include "core/kernel.h"
#include "core/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Program Program;
typedef struct Device Device;

/* Appends the ops that compute the gradients of node->inputs from those of node->outputs: see
 * core/autodiff.h. */
typedef void (*GradientFn)(Program *p, const Node *node);

/* What a kernel cannot avoid: arithmetic, and bytes read and written once. */
typedef struct Cost {
    double flops, bytes;
} Cost;
typedef Cost (*CostFn)(const Node *node);

/* One of a node's tensors. Zeroed it is the first input. */
typedef struct Operand {
    bool is_output;
    int index;
} Operand;
#define OUTPUT(position)                                                                           \
    { .is_output = true, .index = (position) }

typedef struct Op {
    const char *name;
    GradientFn gradient;          /* NULL: no gradient flows through it */
    CostFn cost;                  /* NULL: its tensors' bytes, no arithmetic */
    Operand typed_by;             /* the tensor whose dtype the op computes in */
    const Kernel *const *kernels; /* in the order of preference; NULL ends the list */
} Op;

enum { NODE_MAX_TENSORS = 12 }; /* inputs of a node, and outputs */

struct Node {
    const Op *op;
    const char *label; /* the layer that recorded it, as "h.3.mlp"; never NULL */
    const void *attrs; /* the op's own struct */
    size_t attrs_bytes;
    int n_inputs, n_outputs;
    Tensor **inputs, **outputs; /* what it reads; what it writes (and reads first, where it
                                   accumulates); may hold NULL */
    DType dtype;          /* that of op->typed_by; DTYPE_COUNT where there is no such tensor */
    const Kernel *kernel; /* the row that runs it */
    Tensor *workspace;    /* scratch that lives during this node alone; may be NULL */
    bool differentiated;  /* its gradient has been recorded */
};

Cost node_cost(const Node *node);

/* What tables and traces call it: the op, with the backend where the op has several. */
const char *node_name(const Node *node);

/* Runs the node's kernel. STATUS_CONFIG where this build does not have it. */
NODISCARD Status node_run(const Node *node, void *stream);

/* Whether the op has any kernel for the device. */
bool op_has_kernel(const Op *op, DeviceKind device);

/* The failure of whatever a build without CUDA lacks: STATUS_CONFIG, saying what to do. */
NODISCARD Status cuda_missing(void);

#ifdef __cplusplus
}
#endif
