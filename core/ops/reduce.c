#include "core/ops/reduce.h"

DECLARE_KERNELS(sum);
DECLARE_KERNELS(norm);

static const Op sum_op = {.name = "sum", KERNELS(sum)};
static const Op norm_op = {.name = "norm", KERNELS(norm)};

void sum_record(Program *p, Tensor *out, Tensor *x, double scale, bool accumulate) {
    ReduceAttrs attrs = {scale, accumulate};
    program_record(p, (Recording){&sum_op, &attrs, sizeof attrs, TENSORS(x), TENSORS(out), NULL});
}

void norm_record(Program *p, Tensor *out, Tensor *x) {
    Tensor *parts = p->target.kind == DEVICE_CUDA ? program_workspace(p, NORM_PARTS * sizeof(double)) : NULL;
    program_record(p, (Recording){&norm_op, NULL, 0, TENSORS(x), TENSORS(out), parts});
}
