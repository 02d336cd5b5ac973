#include "core/perf/predict.h"

#include <string.h>

/* Products take different shares in each precision. */
typedef enum Precision { HALF, TF32, SINGLE, ANY } Precision;

/* What the kernels of an op reach of the ceilings, and what it takes to start them; 0: that side
 * does not count. */
typedef struct Speed {
    const char *op;
    Precision precision;
    double launch_us, flops, bytes;
} Speed;

/* Fitted to the profiles of eleven steps on an H200 (docs/results/predictions.md). The first row
 * that fits holds. An op that is not here is taken for one that memory bounds. */
static const Speed speeds[] = {
    {"linear", HALF, 3.0, 1.00, 1.18},
    {"linear", TF32, 3.0, 0.79, 0},
    {"linear", SINGLE, 3.0, 1.00, 0.53},
    {"linear_dx", HALF, 3.0, 0.88, 3.30},
    {"linear_dx", TF32, 3.0, 0.73, 0},
    {"linear_dx", SINGLE, 3.0, 1.00, 1.60},
    {"linear_dw", HALF, 3.0, 1.00, 1.60},
    {"linear_dw", TF32, 3.0, 1.00, 0.33},
    {"linear_dw", SINGLE, 3.0, 1.00, 0},
    {"attention_flash", ANY, 9.0, 0.36, 0},
    {"attention_flash_backward", ANY, 22.0, 0.32, 0},
    {"attention_mem_efficient", HALF, 9.0, 0.235, 0}, /* its shares are from ./bench attention */
    {"attention_mem_efficient_backward", HALF, 22.0, 0.19, 0},
    {"attention_mem_efficient", TF32, 9.0, 0.064, 0},
    {"attention_mem_efficient_backward", TF32, 22.0, 0.049, 0},
    {"attention_mem_efficient", SINGLE, 9.0, 0.51, 0},
    {"attention_mem_efficient_backward", SINGLE, 22.0, 0.40, 0},
    {"attention_math", HALF, 1.0, 0.041, 0},
    {"attention_math_backward", HALF, 1.0, 0.084, 0},
    {"attention_math", TF32, 1.0, 0.054, 0},
    {"attention_math_backward", TF32, 1.0, 0.074, 0},
    {"attention_math", SINGLE, 1.0, 0.25, 0},
    {"attention_math_backward", SINGLE, 1.0, 0.35, 0},
    {"attention_baseline", HALF, 1.0, 0.041, 0},
    {"attention_baseline_backward", HALF, 1.0, 0.084, 0},
    {"attention_baseline", TF32, 1.0, 0.054, 0},
    {"attention_baseline_backward", TF32, 1.0, 0.074, 0},
    {"attention_baseline", SINGLE, 1.0, 0.25, 0},
    {"attention_baseline_backward", SINGLE, 1.0, 0.35, 0},
    {"cross_entropy", HALF, 1.0, 0, 0.84},
    {"cross_entropy", ANY, 1.0, 0, 0.63},
    {"layernorm", ANY, 2.3, 0, 0.94},
    {"layernorm_backward", HALF, 10.0, 0, 0.69},
    {"layernorm_backward", ANY, 10.0, 0, 0.50},
    {"embedding", ANY, 3.0, 0, 0.75},
    {"embedding_backward", ANY, 70.0, 0, 0.49},
    {"adamw", ANY, 3.0, 0, 0.985},
    {"squares", ANY, 3.0, 0, 0.95},
    {"gelu", ANY, 1.0, 0, 0.75},
    {"all_reduce", ANY, 0, 0, 0}, /* beside the rest, as far as it is hidden; not predicted */
    {"reduce_scatter", ANY, 0, 0, 0},
    {"all_gather", ANY, 0, 0, 0},
    {"wait", ANY, 0, 0, 0},
    {"", ANY, 3.0, 0, 0.80},
};

static Precision precision_of(const Node *node, const Ceilings *ceilings) {
    DType dtype =
        node->n_inputs > 0 && node->inputs[0] != NULL ? node->inputs[0]->dtype : DTYPE_F32;
    bool has_logits = dtype == DTYPE_I32 && node->n_outputs > 1 && node->outputs[1] != NULL;
    if (has_logits) dtype = node->outputs[1]->dtype; /* cross_entropy's inputs are targets */
    if (dtype == DTYPE_F16 || dtype == DTYPE_BF16) return HALF;
    return ceilings->tf32 ? TF32 : SINGLE;
}

static const Speed *speed_of(const Node *node, Precision precision) {
    const Speed *speed = speeds;
    while (speed->op[0] != '\0' && (strcmp(speed->op, node->op->name) != 0 ||
                                    (speed->precision != ANY && speed->precision != precision))) {
        speed++;
    }
    return speed;
}

double predict_node(const Node *node, const Ceilings *ceilings) {
    if (ceilings->flops <= 0 || ceilings->bytes <= 0) return 0;
    const Speed *speed = speed_of(node, precision_of(node, ceilings));
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
