#include "core/ops/reduce.h"

DECLARE_KERNELS(sum);
DECLARE_KERNELS(squares);
DECLARE_KERNELS(l2_norm);

static const Op sum_op = {
    .name = "sum",
    .kernels = KERNELS(CPU_WIDE_KERNEL(sum),
                       CUDA_KERNEL(sum, DTYPE_BIT(DTYPE_F32), .speed = MEMORY_SPEED)),
};

static const Op squares_op = {
    .name = "squares",
    .kernels = KERNELS(CPU_WIDE_KERNEL(squares),
                       CUDA_KERNEL(squares, DTYPE_BIT(DTYPE_F32), .speed = SPEED(3.0, 0, 0.95))),
};

static const Op l2_norm_op = {
    .name = "norm",
    .typed_by = OUTPUT(0),
    .kernels = KERNELS(CPU_WIDE_KERNEL(l2_norm),
                       CUDA_KERNEL(l2_norm, DTYPE_BIT(DTYPE_F32), .speed = MEMORY_SPEED)),
};

void sum_record(Program *p, Tensor *out, Tensor *x, double scale, bool accumulate) {
    ReduceAttrs attrs = {scale, accumulate};
    program_record(p, (Recording){&sum_op, &attrs, sizeof attrs, TENSORS(x), TENSORS(out), NULL});
}

void squares_record(Program *p, SquaresAttrs attrs, Tensor *out, Tensor *x) {
    program_record(p,
                   (Recording){&squares_op, &attrs, sizeof attrs, TENSORS(x), TENSORS(out), NULL});
}

void l2_norm_record(Program *p, Tensor *out, Tensor *squares) {
    program_record(p, (Recording){&l2_norm_op, NULL, 0, TENSORS(squares), TENSORS(out), NULL});
}

void l2_norm_of_record(Program *p, Tensor *out, Tensor *x) {
    if (program_failed(p) || x == NULL) return;
    ElementRange *whole = arena_alloc(&p->arena, sizeof *whole);
    Tensor *squares = program_workspace(p, L2_NORM_PARTS * sizeof(double));
    if (whole == NULL) {
        program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording");
        return;
    }
    *whole = (ElementRange){0, tensor_count(x)};
    squares_record(p, (SquaresAttrs){whole, 1, L2_NORM_PARTS, {0, L2_NORM_PARTS}}, squares, x);
    l2_norm_record(p, out, squares);
}
