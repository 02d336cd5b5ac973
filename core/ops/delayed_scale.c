#include "core/ops/delayed_scale.h"

Status delayed_scale_cpu(const Node *node, void *stream);
Status delayed_scale_cuda(const Node *node, void *stream);

const Op delayed_scale_op = {
    .name = "delayed_scale",
    .typed_by = OUTPUT(0),
    .kernels = KERNELS(&(const Kernel){.device = DEVICE_CPU,
                                       .dtypes = DTYPE_BIT(DTYPE_F32),
                                       .run = delayed_scale_cpu},
                       CUDA_KERNEL(delayed_scale, DTYPE_BIT(DTYPE_F32), .speed = MEMORY_SPEED)),
};

void delayed_scale_record(Program *p, DelayedScaleAttrs attrs, Tensor *step, Tensor *observed,
                          Tensor *history, Tensor *scale, Tensor *saturated) {
    program_record(p, (Recording){&delayed_scale_op, &attrs, sizeof attrs, TENSORS(step),
                                  TENSORS(scale, history, saturated, observed), NULL});
}
