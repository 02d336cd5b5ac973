#include "core/op.h"

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

const char *node_name(const Node *node) {
    return node->kernel->shown != NULL ? node->kernel->shown : node->op->name;
}

bool node_writes_state(const Node *node) {
    for (int i = 0; i < node->n_outputs; i++) {
        if (node->outputs[i] != NULL && tensor_is_state(node->outputs[i])) return true;
    }
    return false;
}

Status cuda_missing(void) {
    return ERROR(STATUS_CONFIG, "this program was built without CUDA; install the CUDA toolkit "
                                "(nvcc in PATH) and run scons again, or "
                                "set device: cpu");
}

Status node_run(const Node *node, void *stream) {
    const Kernel *kernel = node->kernel;
    KernelFn run = kernel->run;
    if (node->dtype == DTYPE_F64 && kernel->run_f64 != NULL) run = kernel->run_f64;
    if (node->dtype == DTYPE_BF16 && kernel->run_bf16 != NULL) run = kernel->run_bf16;
    return run == NULL ? cuda_missing() : run(node, stream);
}

bool op_has_kernel(const Op *op, DeviceKind device) {
    for (int i = 0; op->kernels[i] != NULL; i++) {
        if (op->kernels[i]->device == device) return true;
    }
    return false;
}
