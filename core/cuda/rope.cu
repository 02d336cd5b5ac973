/* Once per program and small: 65536 cosines and sines in double at T = 1024 and 64 pairs. */
#include "core/ops/rope.h"

#include "core/cuda/cuda_common.cuh"

enum { THREADS = 256 };

/* One thread per pair of a row. */
static __global__ void __launch_bounds__(THREADS)
    rope_table_kernel(float *table, const int32_t *positions, int64_t rows, RopeFrequencies f) {
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, row = i / f.pairs;
    int pair = (int)(i % f.pairs);
    if (row >= rows) return;
    double position = positions == NULL ? (double)row : (double)positions[row], sine, cosine;
    sincos(position * f.radians[pair], &sine, &cosine);
    table[row * 2 * f.pairs + pair] = (float)(f.magnitude * cosine);
    table[row * 2 * f.pairs + f.pairs + pair] = (float)(f.magnitude * sine);
}

extern "C" Status rope_table_cuda(const Node *node, void *stream) {
    const RopeFrequencies *f = (const RopeFrequencies *)node->attrs;
    const Tensor *table = node->outputs[0];
    int64_t rows = tensor_rows(table), count = rows * f->pairs;
    if (count == 0) return Status{STATUS_OK};
    rope_table_kernel<<<blocks_for(count, THREADS), THREADS, 0, (cudaStream_t)stream>>>(
        data_of<float>(table), data_of<int32_t>(node->inputs[0]), rows, *f);
    return cuda_launched("rope_table");
}
