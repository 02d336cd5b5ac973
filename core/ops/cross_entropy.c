#include "core/ops/cross_entropy.h"

DECLARE_KERNELS(cross_entropy);

/* With a gradient, logits are read and written. */
static Cost cross_entropy_cost(const Node *node) {
    const CrossEntropyAttrs *attrs = node->attrs;
    double logits = (double)tensor_bytes(node->outputs[1]);
    return (Cost){.bytes = attrs->gradient ? 2 * logits : logits};
}

const Op cross_entropy_op = {
    .name = "cross_entropy",
    .cost = cross_entropy_cost,
    .typed_by = OUTPUT(1),
    .kernels = KERNELS(CPU_KERNEL(cross_entropy),
                       CUDA_KERNEL(cross_entropy, DTYPES_REAL,
                                   .speed = {[PRECISION_HALF] = {1.0, 0, 0.84},
                                             [PRECISION_TF32] = {1.0, 0, 0.63},
                                             [PRECISION_SINGLE] = {1.0, 0, 0.63}})),
};

void cross_entropy_record(Program *p, Tensor *losses, Tensor *logits, Tensor *targets, int64_t V,
                          double scale, Tensor *step) {
    CrossEntropyAttrs attrs = {V, scale, p->training};
    program_record(p, (Recording){&cross_entropy_op, &attrs, sizeof attrs, TENSORS(targets, step),
                                  TENSORS(losses, logits), NULL});
}
