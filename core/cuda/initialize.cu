/* Once per run: 124 M weights take some 5 ms of f64 arithmetic, and seconds on one core of the
 * host. */
#include "core/ops/initialize.h"

#include "core/cuda/cuda_common.cuh"

enum { THREADS = 256 };

static __global__ void __launch_bounds__(THREADS)
    initialize_kernel(float *out, InitializeAttrs attrs, int64_t count, int64_t set) {
    int64_t group = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    double four[4];
    if (4 * group >= count) return;
    initialize_four(&attrs, group, four);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (4 * group + k < count) out[4 * group + k] = 4 * group + k < set ? (float)four[k] : 0.0f;
    }
}

extern "C" Status initialize_cuda(const Node *node, void *stream) {
    const Tensor *t = node->outputs[0];
    int64_t count = tensor_count(t);
    InitializeAttrs attrs = *(const InitializeAttrs *)node->attrs;
    TRY(need_f32(t, "the initial values of a parameter"));
    if (count == 0) return Status{STATUS_OK};
    initialize_kernel<<<blocks_for(count, 4 * THREADS), THREADS, 0, (cudaStream_t)stream>>>(
        data_of<float>(t), attrs, count, attrs.n_rows * (t->n_dims == 2 ? t->shape[1] : 1));
    return cuda_launched("initialize");
}
