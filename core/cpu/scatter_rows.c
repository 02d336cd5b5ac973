#include "core/ops/scatter_rows.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(scatter_rows);

Status KERNEL(scatter_rows)(const Node *node, void *stream) {
    (void)stream;
    const ScatterRowsAttrs *attrs = node->attrs;
    const Tensor *x = node->inputs[0], *out = node->outputs[0];
    const int32_t *positions = tensor_data(node->inputs[1]);
    const stored *from = (const stored *)tensor_data(x) + attrs->first;
    stored *to = tensor_data(out);
    int64_t T = x->shape[1], columns = tensor_columns(x), width = tensor_columns(out);
    for (int64_t row = 0; row < tensor_rows(x); row++) {
        int64_t position = positions[row], place = row / T * out->shape[1] + position;
        if (position < 0 || position >= out->shape[1]) continue;
        memcpy(to + place * width, from + row * columns, (size_t)width * sizeof *to);
    }
    return OK;
}
