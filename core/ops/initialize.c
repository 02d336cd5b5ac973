#include "core/ops/initialize.h"

DECLARE_KERNELS(initialize);

static const Op initialize_op = {.name = "initialize", KERNELS(initialize)};

void initialize_record(Program *p, Tensor *out, InitializeAttrs attrs) {
    program_record(p,
                   (Recording){&initialize_op, &attrs, sizeof attrs, NULL, 0, TENSORS(out), NULL});
}
