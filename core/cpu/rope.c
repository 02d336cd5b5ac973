#include "core/ops/rope.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(rope_table);

Status KERNEL(rope_table)(const Node *node, void *stream) {
    (void)stream;
    const RopeFrequencies *f = node->attrs;
    const Tensor *positions = node->inputs[0], *table = node->outputs[0];
    const int32_t *given = positions == NULL ? NULL : tensor_data(positions);
    real *out = tensor_data(table);
    int64_t rows = tensor_rows(table);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        double position = (double)(given == NULL ? row : given[row]);
        real *cosines = out + row * 2 * f->pairs, *sines = cosines + f->pairs;
        for (int i = 0; i < f->pairs; i++) {
            cosines[i] = (real)(f->magnitude * cos(position * f->radians[i]));
            sines[i] = (real)(f->magnitude * sin(position * f->radians[i]));
        }
    }
    return OK;
}
