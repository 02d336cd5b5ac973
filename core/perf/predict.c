#include "core/perf/predict.h"

static Precision precision_of(const Node *node, const Ceilings *ceilings) {
    if ((DTYPE_BIT(node->dtype) & DTYPES_F8) != 0) return PRECISION_EIGHT;
    if (node->dtype == DTYPE_F16 || node->dtype == DTYPE_BF16) return PRECISION_HALF;
    return ceilings->tf32 ? PRECISION_TF32 : PRECISION_SINGLE;
}

/* Rows of CPU kernels have no speeds: products reach the ceiling, and so does everything else that
 * memory bounds. */
static const KernelSpeed cpu_speed = {.launch_us = 1, .flops = 1, .bytes = 1};

static const KernelSpeed *speed_of(const Node *node, Precision precision) {
    const Kernel *kernel = node->kernel;
    if (kernel->device == DEVICE_CPU) return &cpu_speed;
    bool is_simple = kernel->is_simple != NULL && kernel->is_simple(node);
    return is_simple ? &kernel->simple_speed[precision] : &kernel->speed[precision];
}

double predict_node(const Node *node, const Ceilings *ceilings) {
    if (ceilings->flops <= 0 || ceilings->bytes <= 0) return 0;
    const KernelSpeed *speed = speed_of(node, precision_of(node, ceilings));
    Cost cost = node_cost(node);
    double seconds = 1e-6 * speed->launch_us;
    if (speed->flops > 0) seconds += cost.flops / (speed->flops * ceilings->flops);
    if (speed->bytes > 0) seconds += cost.bytes / (speed->bytes * ceilings->bytes);
    return seconds;
}

double predict_program(const Program *p, const Ceilings *ceilings) {
    double seconds = 0;
    for (int i = 0; i < p->n_nodes; i++) seconds += predict_node(p->nodes[i], ceilings);
    return seconds;
}
