/* A batched product includes hidden pairs with weight 0, and 0 times NaN is NaN. So each product's
 * result is checked in a separate pass, bound by memory: 100 MB and 25 us at B=64, NH=12, T=1024,
 * HS=64 in bf16, compared with milliseconds for the products. */
#include "nn/attention/cuda/quadratic/quadratic_again.cuh"

enum { THREADS = 256, WARPS = THREADS / 32 };

/* One warp per row of out; a lane takes every 32nd element. */
template <typename T, bool TRANSPOSED>
static __global__ void __launch_bounds__(THREADS)
    again_kernel(T *out, const T *weights, const T *x, RowParams p) {
    const AttentionCall &c = p.call;
    const int64_t rows = TRANSPOSED ? c.Tk : c.Tq, depth = TRANSPOSED ? c.Tq : c.Tk;
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, head = row / rows;
    if (row >= c.B * c.NH * rows) return;
    bool lost = false;
    for (int64_t d = threadIdx.x % 32; d < c.HS; d += 32)
        lost |= isnan(to_float(out[row * c.HS + d]));
    if (!__any_sync(0xFFFFFFFFu, lost)) return;
    for (int64_t d = threadIdx.x % 32; d < c.HS; d += 32) {
        float sum = 0;
        for (int64_t t = 0; t < depth && !isnan(sum); t++) {
            const int64_t i = TRANSPOSED ? t : row % rows, j = TRANSPOSED ? row % rows : t;
            if (is_hidden(p, mask_at(p, head / c.NH, head % c.NH, i), (int)j)) continue;
            const float weight = to_float(weights[(head * c.Tq + i) * c.Tk + j]);
            sum = fmaf(weight, to_float(x[(head * depth + t) * c.HS + d]), sum);
        }
        out[row * c.HS + d] = from_float<T>(sum);
    }
}

Status quadratic_again(void *out, const void *weights, const void *x, bool transposed,
                       const RowParams &p, cudaStream_t stream) {
    const AttentionCall &c = p.call;
    if (c.causal == CAUSAL_NONE && p.ranges == NULL && c.bias == BIAS_NONE)
        return Status{STATUS_OK};
    const unsigned blocks = blocks_for(c.B * c.NH * (transposed ? c.Tk : c.Tq), WARPS);
    return dispatch_real(c.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        if (transposed)
            again_kernel<T, true>
                <<<blocks, THREADS, 0, stream>>>((T *)out, (const T *)weights, (const T *)x, p);
        else
            again_kernel<T, false>
                <<<blocks, THREADS, 0, stream>>>((T *)out, (const T *)weights, (const T *)x, p);
        return cuda_launched("attention rows again");
    });
}
