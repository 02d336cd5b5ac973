#include "core/ops/cross_entropy.h"

DECLARE_KERNELS(cross_entropy);

const Op cross_entropy_op = {.name = "cross_entropy", KERNELS(cross_entropy)};

void cross_entropy_record(Program *p, Tensor *losses, Tensor *logits, Tensor *targets, int64_t V, double scale,
                          Tensor *step) {
    CrossEntropyAttrs attrs = {V, scale, p->training};
    program_record(
        p, (Recording){&cross_entropy_op, &attrs, sizeof attrs, TENSORS(targets, step), TENSORS(losses, logits), NULL});
}
