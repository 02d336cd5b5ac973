#include "core/ops/scatter_rows.h"

DECLARE_KERNELS(scatter_rows);

/* The columns are read and written once. */
static Cost scatter_rows_cost(const Node *node) {
    const Tensor *x = node->inputs[0], *out = node->outputs[0];
    int64_t elements = tensor_rows(x) * tensor_columns(out);
    return (Cost){.bytes = 2.0 * (double)elements * (double)dtype_size(x->dtype)};
}

const Op scatter_rows_op = {
    .name = "scatter_rows",
    .cost = scatter_rows_cost,
    .kernels = KERNELS(CPU_KERNEL(scatter_rows),
                       CUDA_KERNEL(scatter_rows, DTYPES_REAL, .speed = MEMORY_SPEED)),
};

static bool is_valid(const Tensor *out, const Tensor *x, const Tensor *positions, int64_t first) {
    return out->n_dims == 3 && x->n_dims == 3 && out->dtype == x->dtype &&
           out->shape[0] == x->shape[0] && positions->dtype == DTYPE_I32 &&
           tensor_count(positions) == tensor_rows(x) && first >= 0 &&
           first + tensor_columns(out) <= tensor_columns(x);
}

void scatter_rows_record(Program *p, Tensor *out, Tensor *x, Tensor *positions, int64_t first) {
    if (program_failed(p) || out == NULL || x == NULL || positions == NULL) return;
    if (!is_valid(out, x, positions, first)) {
        program_fail(p, STATUS_CONFIG, "scatter_rows: %s at %s does not fit %s from column %lld on",
                     tensor_text(x), tensor_text(positions), tensor_text(out), (long long)first);
        return;
    }
    ScatterRowsAttrs attrs = {first};
    program_record(p, (Recording){&scatter_rows_op, &attrs, sizeof attrs, TENSORS(x, positions),
                                  TENSORS(out), NULL});
}
