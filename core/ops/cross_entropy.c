#include "core/ops/cross_entropy.h"

#include <math.h>

DECLARE_KERNELS(cross_entropy);

/* With a gradient, logits are read and written, or q is written. */
static Cost cross_entropy_cost(const Node *node) {
    const CrossEntropyAttrs *attrs = node->attrs;
    const Tensor *q = node->outputs[CROSS_ENTROPY_Q];
    double logits = (double)tensor_bytes(node->outputs[1]);
    if (q != NULL) return (Cost){.bytes = logits + (double)tensor_bytes(q)};
    return (Cost){.bytes = attrs->gradient ? 2 * logits : logits};
}

/* A line of f32 for each thread. */
static size_t lines_cpu(const Node *node, const Target *target) {
    if (node->dtype != DTYPE_BF16) return 0;
    return (size_t)target->threads * (size_t)tensor_columns(node->outputs[1]) * sizeof(float);
}

const Op cross_entropy_op = {
    .name = "cross_entropy",
    .cost = cross_entropy_cost,
    .typed_by = OUTPUT(1),
    .kernels = KERNELS(CPU_KERNEL(cross_entropy, .workspace = lines_cpu),
                       CUDA_KERNEL(cross_entropy, DTYPES_REAL,
                                   .speed = {[PRECISION_HALF] = {1.0, 0, 0.84},
                                             [PRECISION_TF32] = {1.0, 0, 0.63},
                                             [PRECISION_SINGLE] = {1.0, 0, 0.63}})),
};

void cross_entropy_record(Program *p, Tensor *losses, Tensor *logits, Tensor *targets,
                          CrossEntropyAttrs attrs, Tensor *step) {
    if (!(attrs.softcap >= 0) || !isfinite(attrs.softcap)) {
        program_fail(p, STATUS_CONFIG, "cross_entropy: softcap %g must be 0 or more",
                     attrs.softcap);
        return;
    }
    attrs.gradient = p->training;
    program_record(p, (Recording){&cross_entropy_op, &attrs, sizeof attrs,
                                  TENSORS(targets, step, NULL), TENSORS(losses, logits, NULL, NULL),
                                  NULL});
}
