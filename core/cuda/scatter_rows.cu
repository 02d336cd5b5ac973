/* Bound by launch: generation copies k and v of one token per row of the batch, 3 KB in bf16 for
 * GPT-2 124M. */
#include "core/ops/scatter_rows.h"

#include "core/cuda/cuda_common.cuh"

enum { THREADS = 256 };

template <typename T>
struct ScatterParams {
    T *out;
    const T *x; /* from the first column on */
    const int32_t *positions;
    int64_t count;           /* elements to copy */
    int64_t tokens, columns; /* of a row of the batch; of x */
    int64_t rows, width;     /* of out */
};

/* One thread per W elements of a token. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) scatter_rows_kernel(ScatterParams<T> p) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * W;
    if (i >= p.count) return;
    int64_t token = i / p.width, column = i % p.width, position = p.positions[token];
    if (position < 0 || position >= p.rows) return;
    float values[W];
    load<W>(p.x + token * p.columns + column, values);
    store<W>(p.out + (token / p.tokens * p.rows + position) * p.width + column, values);
}

extern "C" Status scatter_rows_cuda(const Node *node, void *stream) {
    const ScatterRowsAttrs *attrs = (const ScatterRowsAttrs *)node->attrs;
    const Tensor *x = node->inputs[0], *out = node->outputs[0];
    int64_t count = tensor_rows(x) * tensor_columns(out);
    if (count == 0) return Status{STATUS_OK};
    return dispatch_real(x->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        ScatterParams<T> p = {};
        p.out = data_of<T>(out), p.x = data_of<T>(x) + attrs->first;
        p.positions = data_of<int32_t>(node->inputs[1]);
        p.count = count, p.tokens = x->shape[1], p.columns = tensor_columns(x);
        p.rows = out->shape[1], p.width = tensor_columns(out);
        bool vector = fits_packs<T>(p.width, p.out, p.x) && fits_packs<T>(p.columns);
        return dispatch_width<T>(vector, [&](auto width) {
            constexpr int W = decltype(width)::value;
            scatter_rows_kernel<T, W>
                <<<blocks_for(count, THREADS * W), THREADS, 0, (cudaStream_t)stream>>>(p);
            return cuda_launched("scatter_rows");
        });
    });
}
