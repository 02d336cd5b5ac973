#include "core/ops/adamw.h"

DECLARE_KERNELS(adamw);

static int64_t weights_of(const AdamwWork *work) {
    int64_t weights = 0;
    for (int i = 0; i < work->n_ranges; i++) weights += work->ranges[i].count;
    return weights;
}

static Cost adamw_cost(const Node *node) {
    double weights = (double)weights_of(node->attrs);
    double each = (double)dtype_size(node->inputs[0]->dtype);
    for (int i = 0; i < 4; i++) {
        if (node->outputs[i] != NULL) each += 2.0 * (double)dtype_size(node->outputs[i]->dtype);
    }
    return (Cost){.flops = 15.0 * weights, .bytes = each * weights};
}

static const Op adamw_op = {
    .name = "adamw",
    .cost = adamw_cost,
    .typed_by = OUTPUT(0),
    .kernels =
        KERNELS(CPU_KERNEL(adamw), CUDA_KERNEL(adamw, DTYPES_REAL, .speed = SPEED(3.0, 0, 0.985))),
};

static bool is_rate(double beta) { return beta >= 0 && beta < 1; }

void adamw_record(Program *p, AdamwAttrs attrs, AdamwTensors t) {
    if (program_failed(p) || t.grad == NULL) return;
    if (!is_rate(attrs.beta1) || !is_rate(attrs.beta2) || !(attrs.eps >= ADAMW_LEAST_EPS)) {
        program_fail(p, STATUS_CONFIG,
                     "adamw: betas %g and %g must be in [0, 1), eps %g at least %g", attrs.beta1,
                     attrs.beta2, attrs.eps, ADAMW_LEAST_EPS);
        return;
    }
    int n = t.ranges == NULL ? 1 : t.n_ranges;
    AdamwRange *ranges = arena_alloc(&p->arena, ((size_t)n + 1) * sizeof *ranges);
    if (ranges == NULL) {
        program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording");
        return;
    }
    if (t.ranges == NULL) ranges[0] = (AdamwRange){0, 0, tensor_count(t.grad)};
    for (int i = 0; t.ranges != NULL && i < n; i++) ranges[i] = t.ranges[i];
    AdamwWork work = {attrs, ranges, n};
    program_record(p, (Recording){&adamw_op, &work, sizeof work, TENSORS(t.grad, t.norm, t.step),
                                  TENSORS(t.weight, t.master, t.m, t.v, t.first_nonfinite), NULL});
}
