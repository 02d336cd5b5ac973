#include "core/ops/initialize.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(initialize);

Status KERNEL(initialize)(const Node *node, void *stream) {
    (void)stream;
    const InitializeAttrs *attrs = node->attrs;
    const Tensor *t = node->outputs[0];
    real *out = tensor_data(t);
    int64_t count = tensor_count(t), set = attrs->n_rows * (t->n_dims == 2 ? t->shape[1] : 1);
#pragma omp parallel for schedule(static)
    for (int64_t group = 0; group < (count + 3) / 4; group++) {
        double four[4];
        initialize_four(attrs, group, four);
        for (int64_t k = 0; k < 4 && 4 * group + k < count; k++) {
            out[4 * group + k] = 4 * group + k < set ? (real)four[k] : 0;
        }
    }
    return OK;
}
