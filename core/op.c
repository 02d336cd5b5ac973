#include "core/op.h"

static bool is_real(const Tensor *t) { return t != NULL && t->dtype <= DTYPE_BF16; }

DType node_dtype(const Node *node) {
    for (int i = 0; i < node->n_outputs; i++) {
        if (is_real(node->outputs[i])) return node->outputs[i]->dtype;
    }
    for (int i = 0; i < node->n_inputs; i++) {
        if (is_real(node->inputs[i])) return node->inputs[i]->dtype;
    }
    return DTYPE_F32;
}

static double bytes_of(Tensor *const *tensors, int count) {
    double bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += tensors[i] == NULL ? 0.0 : (double)tensor_bytes(tensors[i]);
    return bytes;
}

Cost node_cost(const Node *node) {
    if (node->op->cost != NULL) return node->op->cost(node);
    return (Cost){.bytes = bytes_of(node->inputs, node->n_inputs) +
                           bytes_of(node->outputs, node->n_outputs)};
}

KernelFn node_kernel(const Node *node, DeviceKind kind) {
    if (kind == DEVICE_CUDA) return node->op->cuda;
    return node_dtype(node) == DTYPE_F64 ? node->op->cpu_f64 : node->op->cpu_f32;
}
