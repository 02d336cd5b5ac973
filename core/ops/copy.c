#include "core/ops/copy.h"

#include "core/ops/flags.h"

DECLARE_KERNELS(copy);

static const Op copy_op = {.name = "copy", KERNELS(copy)};

void copy_record(Program *p, Tensor *out, Tensor *x, bool accumulate) {
    AccumulateAttrs attrs = {accumulate};
    if (accumulate && x != NULL && x->dtype == DTYPE_I32) {
        program_fail(p, STATUS_FAILURE, "copy: i32 cannot be accumulated");
        return;
    }
    program_record(p, (Recording){&copy_op, &attrs, sizeof attrs, TENSORS(x), TENSORS(out), NULL});
}
