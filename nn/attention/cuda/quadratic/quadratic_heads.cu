/* Bound by memory: a tensor is read and written, 200 MB and 48 us at B=64, NH=12, T=1024, HS=64 in
 * bf16. */
#include "nn/attention/cuda/quadratic/quadratic_heads.cuh"

#include "core/cuda/cuda_common.cuh"

enum { THREADS = 256 };

template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) gather_kernel(T *out, const T *x, HeadCopy c) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * W;
    if (i >= c.B * c.NH * c.T * c.HS) return;
    int64_t j = i % c.HS, t = i / c.HS % c.T, h = i / (c.HS * c.T) % c.NH,
            b = i / (c.HS * c.T * c.NH);
    float value[W];
    load<W>(x + b * c.layout.batch + t * c.layout.token + h / c.group * c.layout.head + j, value);
#pragma unroll
    for (int k = 0; k < W; k++) value[k] *= c.factor;
    store<W>(out + i, value);
}

/* The reverse; the heads of a group are summed in order. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) scatter_kernel(T *out, const T *x, HeadCopy c) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * W, heads = c.NH / c.group;
    if (i >= c.B * heads * c.T * c.HS) return;
    int64_t j = i % c.HS, t = i / c.HS % c.T, h = i / (c.HS * c.T) % heads,
            b = i / (c.HS * c.T * heads);
    float sum[W] = {};
    for (int64_t g = 0; g < c.group; g++) {
        float value[W];
        load<W>(x + ((b * c.NH + h * c.group + g) * c.T + t) * c.HS + j, value);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += value[k];
    }
    store<W>(out + b * c.layout.batch + t * c.layout.token + h * c.layout.head + j, sum);
}

static bool heads_fit(HeadLayout layout, int64_t HS, int64_t W) {
    return HS % W == 0 && layout.batch % W == 0 && layout.token % W == 0 && layout.head % W == 0;
}

Status heads_copy(void *out, const void *x, DType dtype, HeadCopy c, bool gather,
                  cudaStream_t stream) {
    int64_t count = c.B * (gather ? c.NH : c.NH / c.group) * c.T * c.HS;
    return dispatch_real(dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        bool vector = heads_fit(c.layout, c.HS, 16 / sizeof(T)) && fits_packs<T>(c.HS, out, x);
        return dispatch_width<T>(vector, [&](auto width) {
            constexpr int W = decltype(width)::value;
            unsigned blocks = blocks_for(count, THREADS * W);
            if (gather) {
                gather_kernel<T, W><<<blocks, THREADS, 0, stream>>>((T *)out, (const T *)x, c);
            } else {
                scatter_kernel<T, W><<<blocks, THREADS, 0, stream>>>((T *)out, (const T *)x, c);
            }
            return cuda_launched("heads_copy");
        });
    });
}
