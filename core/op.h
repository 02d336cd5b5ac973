/* Op: a descriptor with a name, a gradient rule, a cost, and a list of kernels. An op is defined in
 * the module that needs it (core/ops/, nn/attention/); there is no central list. A node is one use
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

/* The minimum work of a kernel: arithmetic, and bytes read and written once. */
typedef struct Cost {
    double flops, bytes;
} Cost;
typedef Cost (*CostFn)(const Node *node);

/* Selects one tensor of a node. Zero-initialized: the first input. */
typedef struct Operand {
    bool is_output;
    int index;
} Operand;
#define OUTPUT(position)                                                                           \
    { .is_output = true, .index = (position) }

typedef struct Op {
    const char *name;
    GradientFn gradient;          /* NULL: not differentiable */
    CostFn cost;                  /* NULL: the bytes of its tensors, no arithmetic */
    Operand typed_by;             /* the tensor whose dtype is the compute dtype */
    const Kernel *const *kernels; /* in order of preference; ends with NULL */
} Op;

enum { NODE_MAX_TENSORS = 12 }; /* inputs of a node; outputs of a node */

struct Node {
    const Op *op;
    const char *label; /* the layer that recorded it, such as "h.3.mlp"; never NULL */
    const void *attrs; /* a struct defined by the op */
    size_t attrs_bytes;
    int n_inputs, n_outputs;
    Tensor **inputs, **outputs; /* read; written (or accumulated); may contain NULL */
    DType dtype;                /* of op->typed_by; DTYPE_COUNT without such a tensor */
    const Kernel *kernel;       /* the row that runs it */
    Tensor *workspace;          /* scratch memory for this node only; may be NULL */
    bool differentiated;        /* its gradient has been recorded */
};

Cost node_cost(const Node *node);

/* The name in tables and traces: the op, with the backend if the op has several. */
const char *node_name(const Node *node);

/* Whether it writes state (tensor_is_state), and so waits for copies of it (device.h). */
bool node_writes_state(const Node *node);

/* Runs the kernel of the node. STATUS_CONFIG if this build does not include it. */
NODISCARD Status node_run(const Node *node, void *stream);

/* Whether the op has any kernel for the device. */
bool op_has_kernel(const Op *op, DeviceKind device);

/* The error for features that need CUDA in a build without it: STATUS_CONFIG, with advice. */
NODISCARD Status cuda_missing(void);

#ifdef __cplusplus
}
#endif
