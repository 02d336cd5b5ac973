#include "core/ops/copy.h"

#include "core/ops/flags.h"

DECLARE_KERNELS(copy);

/* i32 is moved as f32, which preserves all bits. */
static const Op copy_op = {
    .name = "copy",
    .typed_by = OUTPUT(0),
    .kernels =
        KERNELS(&(const Kernel){.device = DEVICE_CPU,
                                .dtypes = DTYPES_CPU | DTYPE_BIT(DTYPE_I32),
                                .run = copy_cpu_f32,
                                .run_f64 = copy_cpu_f64,
                                .run_bf16 = copy_cpu_bf16},
                CUDA_KERNEL(copy, DTYPES_REAL | DTYPE_BIT(DTYPE_I32), .speed = MEMORY_SPEED)),
};

void copy_record(Program *p, Tensor *out, Tensor *x, bool accumulate) {
    AccumulateAttrs attrs = {accumulate};
    if (accumulate && x != NULL && x->dtype == DTYPE_I32) {
        program_fail(p, STATUS_FAILURE, "copy: i32 cannot be accumulated");
        return;
    }
    program_record(p, (Recording){&copy_op, &attrs, sizeof attrs, TENSORS(x), TENSORS(out), NULL});
}
