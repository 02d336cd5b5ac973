/* Bound by memory: the norm of 124 M f32 gradients reads 498 MB, 119 us at 4.2 TB/s; sum reads the
 * losses, 0.26 MB, a few us in one block. Each thread sums its fixed share in f64, then the shares
 * are added in a fixed order. */
#include "core/ops/reduce.h"

#include "core/cuda/cuda_common.cuh"

enum { THREADS = 512, RANGES_A_LAUNCH = 128 };

template <bool SQUARES>
static __device__ double strided_sum(const float *x, int64_t count, int64_t first, int64_t step) {
    double sum = 0;
    int64_t packs = ((uintptr_t)x & 15) == 0 ? count / 4 : 0;
#pragma unroll 4
    for (int64_t i = first; i < packs; i += step) {
        float v[4];
        load<4>(x + i * 4, v);
#pragma unroll
        for (int k = 0; k < 4; k++) sum += SQUARES ? (double)v[k] * (double)v[k] : (double)v[k];
    }
    for (int64_t i = packs * 4 + first; i < count; i += step) {
        sum += SQUARES ? (double)x[i] * (double)x[i] : (double)x[i];
    }
    return sum;
}

static __global__ void __launch_bounds__(THREADS)
    sum_kernel(float *out, const float *x, int64_t count, double scale, bool accumulate) {
    double sum = scale * block_sum(strided_sum<false>(x, count, threadIdx.x, THREADS));
    if (threadIdx.x == 0) *out = (float)(accumulate ? (double)*out + sum : sum);
}

/* The ranges are kernel arguments. */
struct RangeTable {
    ElementRange ranges[RANGES_A_LAUNCH];
};

/* Block index: (part, range). */
static __global__ void __launch_bounds__(THREADS)
    squares_kernel(double *out, const float *x, RangeTable table, int64_t parts, ElementRange own) {
    ElementRange range = table.ranges[blockIdx.y];
    int64_t part = blockIdx.x;
    bool is_own = part >= own.first && part < own.first + own.count;
    int64_t first = range.count * part / parts,
            end = is_own ? range.count * (part + 1) / parts : first;
    double sum =
        block_sum(strided_sum<true>(x + range.first + first, end - first, threadIdx.x, THREADS));
    if (threadIdx.x == 0) out[blockIdx.y * parts + part] = sum;
}

static __global__ void __launch_bounds__(THREADS)
    l2_norm_kernel(float *out, const double *squares, int64_t count) {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += THREADS) sum += squares[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *out = (float)sqrt(sum);
}

extern "C" Status sum_cuda(const Node *node, void *stream) {
    const ReduceAttrs *attrs = (const ReduceAttrs *)node->attrs;
    const Tensor *x = node->inputs[0], *out = node->outputs[0];
    TRY(need_f32(x, "sum's input"));
    TRY(need_f32(out, "sum's output"));
    sum_kernel<<<1, THREADS, 0, (cudaStream_t)stream>>>(
        data_of<float>(out), data_of<float>(x), tensor_count(x), attrs->scale, attrs->accumulate);
    return cuda_launched("sum");
}

extern "C" Status squares_cuda(const Node *node, void *stream) {
    const SquaresAttrs *attrs = (const SquaresAttrs *)node->attrs;
    TRY(need_f32(node->inputs[0], "the input of squares"));
    const float *x = data_of<float>(node->inputs[0]);
    double *out = data_of<double>(node->outputs[0]);
    for (int first = 0; first < attrs->n_ranges; first += RANGES_A_LAUNCH) {
        int n =
            attrs->n_ranges - first < RANGES_A_LAUNCH ? attrs->n_ranges - first : RANGES_A_LAUNCH;
        RangeTable table;
        for (int i = 0; i < n; i++) table.ranges[i] = attrs->ranges[first + i];
        dim3 grid((unsigned)attrs->parts, (unsigned)n);
        squares_kernel<<<grid, THREADS, 0, (cudaStream_t)stream>>>(out + first * attrs->parts, x,
                                                                   table, attrs->parts, attrs->own);
        TRY(cuda_launched("squares"));
    }
    return Status{STATUS_OK};
}

extern "C" Status l2_norm_cuda(const Node *node, void *stream) {
    int64_t count = tensor_count(node->inputs[0]) / (int64_t)sizeof(double);
    l2_norm_kernel<<<1, THREADS, 0, (cudaStream_t)stream>>>(
        data_of<float>(node->outputs[0]), data_of<double>(node->inputs[0]), count);
    return cuda_launched("l2_norm");
}
