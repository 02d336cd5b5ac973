#include "core/ops/adamw.h"

DECLARE_KERNELS(adamw);

static Cost adamw_cost(const Node *node) {
    double weights = (double)tensor_count(node->outputs[0]);
    double bytes = (double)tensor_bytes(node->inputs[0]);
    for (int i = 0; i < 4; i++) {
        if (node->outputs[i] != NULL) bytes += 2.0 * (double)tensor_bytes(node->outputs[i]);
    }
    return (Cost){.flops = 15.0 * weights, .bytes = bytes};
}

static const Op adamw_op = {.name = "adamw", .cost = adamw_cost, KERNELS(adamw)};

void adamw_record(Program *p, AdamwAttrs attrs, AdamwTensors t) {
    program_record(p, (Recording){&adamw_op, &attrs, sizeof attrs, TENSORS(t.grad, t.norm, t.step),
                                  TENSORS(t.weight, t.master, t.m, t.v, t.offender), NULL});
}
