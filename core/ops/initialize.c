#include "core/ops/initialize.h"

DECLARE_KERNELS(initialize);

static const Op initialize_op = {
    .name = "initialize",
    .typed_by = OUTPUT(0),
    .kernels = KERNELS(CPU_WIDE_KERNEL(initialize),
                       CUDA_KERNEL(initialize, DTYPE_BIT(DTYPE_F32), .speed = MEMORY_SPEED)),
};

void initialize_record(Program *p, Tensor *out, InitializeAttrs attrs) {
    program_record(p,
                   (Recording){&initialize_op, &attrs, sizeof attrs, NULL, 0, TENSORS(out), NULL});
}
