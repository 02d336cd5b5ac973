/* Bound by memory: forward with the residual sum reads two tensors and writes two, backward reads
 * three and writes one: 403 MB and 96 us each at (65536, 768) in bf16 and 4.2 TB/s; 25 + 25 calls
 * per step of GPT-2 124M take 4.8 ms.
 *
 * A warp owns a row and keeps it in registers (PACKS packs per lane), so each element is read once.
 * The variance is computed from the differences to the mean, as on the CPU. Longer rows are read
 * again (PACKS = 0). rmsnorm moves the same bytes less the means. */
#include "core/cuda/norm.cuh"

enum { WARPS = 4, THREADS = WARPS * 32 };

template <typename T>
struct ForwardParams {
    T *y, *sums;
    float *means, *rstds;
    const T *x, *branch, *gamma, *beta;
    int64_t rows, C;
    float eps;
};

/* One pack of x + branch, rounded to T as it is stored. */
template <typename T, int W>
static __device__ __forceinline__ void sum_pack(const ForwardParams<T> &p, int64_t i,
                                                float (&v)[W]) {
    load<W>(p.x + i, v);
    if (p.branch == NULL) return;
    float add[W];
    load<W>(p.branch + i, add);
#pragma unroll
    for (int k = 0; k < W; k++) v[k] = to_float(from_float<T>(v[k] + add[k]));
    store<W>(p.sums + i, v);
}

template <typename Form, typename T, int W>
static __device__ __forceinline__ void normalize_pack(const ForwardParams<T> &p, int64_t row,
                                                      int64_t j, float mean, float rstd,
                                                      float (&v)[W]) {
    float gamma[W], beta[W] = {};
    load_gamma<Form>(p.gamma, j, gamma);
    if constexpr (Form::centered && Form::weighted) {
        if (p.beta != NULL) load<W>(p.beta + j, beta);
    }
#pragma unroll
    for (int k = 0; k < W; k++) v[k] = (v[k] - mean) * rstd * gamma[k] + beta[k];
    store<W>(p.y + row * p.C + j, v);
}

template <typename Form, typename T>
static __device__ __forceinline__ void keep_statistics(const ForwardParams<T> &p, int64_t row,
                                                       float mean, float rstd) {
    if (threadIdx.x % 32 != 0) return;
    if constexpr (Form::centered) p.means[row] = mean;
    p.rstds[row] = rstd;
}

/* If squares overflow f32, the row is read again and scaled by this: 1e16 becomes 8e-15, the
 * largest f32 3e8. */
constexpr float FAR_SCALE = 0x1p-100f;

/* Returns the row's rstd, computed from the variance (rmsnorm: the mean square). If that is not
 * finite, computes the mean again. Both are NaN if an element is not finite. */
template <typename Form, typename T>
static __device__ __forceinline__ float row_rstd(const ForwardParams<T> &p, int64_t row,
                                                 float variance, float *mean) {
    if (isfinite(variance)) return 1.0f / sqrtf(variance + p.eps);
    const T *in = (p.branch == NULL ? p.x : p.sums) + row * p.C;
    float sum = 0, squares = 0, center = 0;
    __syncwarp(); /* all lanes have written the sums */
    if constexpr (Form::centered) {
#pragma unroll 1
        for (int64_t j = threadIdx.x % 32; j < p.C; j += 32) sum += to_float(in[j]) * FAR_SCALE;
        center = warp_sum(sum) / (float)p.C;
    }
#pragma unroll 1
    for (int64_t j = threadIdx.x % 32; j < p.C; j += 32) {
        float off = to_float(in[j]) * FAR_SCALE - center;
        squares += off * off;
    }
    *mean = center / FAR_SCALE;
    float far = warp_sum(squares) / (float)p.C;
    if (!Form::centered && !isfinite(far)) return NAN;
    return FAR_SCALE / sqrtf(far);
}

template <typename T, int W, int PACKS, typename Form>
static __global__ void __launch_bounds__(THREADS) forward_kernel(ForwardParams<T> p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (row >= p.rows) return;
    float v[PACKS][W] = {}, sum = 0, squares = 0;
#pragma unroll
    for (int n = 0; n < PACKS; n++) {
        int64_t j = (n * 32 + lane) * W;
        if (j >= p.C) continue;
        sum_pack<T, W>(p, row * p.C + j, v[n]);
#pragma unroll
        for (int k = 0; k < W; k++) sum += v[n][k];
    }
    float mean = Form::centered ? warp_sum(sum) / (float)p.C : 0.0f;
#pragma unroll
    for (int n = 0; n < PACKS; n++) {
        if ((n * 32 + lane) * W >= p.C) continue;
#pragma unroll
        for (int k = 0; k < W; k++) squares += (v[n][k] - mean) * (v[n][k] - mean);
    }
    float rstd = row_rstd<Form>(p, row, warp_sum(squares) / (float)p.C, &mean);
    keep_statistics<Form>(p, row, mean, rstd);
#pragma unroll
    for (int n = 0; n < PACKS; n++) {
        int64_t j = (n * 32 + lane) * W;
        if (j < p.C) normalize_pack<Form>(p, row, j, mean, rstd, v[n]);
    }
}

template <typename T, int W, typename Form>
static __global__ void __launch_bounds__(THREADS) forward_long_kernel(ForwardParams<T> p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, step = 32 * W,
            first = threadIdx.x % 32 * W;
    if (row >= p.rows) return;
    const T *in = p.branch == NULL ? p.x : p.sums;
    float v[W], sum = 0, squares = 0;
    for (int64_t j = first; j < p.C; j += step) {
        sum_pack<T, W>(p, row * p.C + j, v);
#pragma unroll
        for (int k = 0; k < W; k++) Form::centered ? sum += v[k] : squares += v[k] * v[k];
    }
    float mean = Form::centered ? warp_sum(sum) / (float)p.C : 0.0f;
    for (int64_t j = first; j < p.C && Form::centered; j += step) {
        load<W>(in + row * p.C + j, v);
#pragma unroll
        for (int k = 0; k < W; k++) squares += (v[k] - mean) * (v[k] - mean);
    }
    float rstd = row_rstd<Form>(p, row, warp_sum(squares) / (float)p.C, &mean);
    keep_statistics<Form>(p, row, mean, rstd);
    for (int64_t j = first; j < p.C; j += step) {
        load<W>(in + row * p.C + j, v);
        normalize_pack<Form>(p, row, j, mean, rstd, v);
    }
}

template <typename T, int W, typename Form>
static Status forward_launch(const ForwardParams<T> &p, cudaStream_t stream) {
    unsigned blocks = blocks_for(p.rows, WARPS);
    return norm_packs<W>(p.C, [&](auto packs) {
        constexpr int PACKS = decltype(packs)::value;
        if constexpr (PACKS == 0) {
            forward_long_kernel<T, W, Form><<<blocks, THREADS, 0, stream>>>(p);
        } else {
            forward_kernel<T, W, PACKS, Form><<<blocks, THREADS, 0, stream>>>(p);
        }
        return cuda_launched("norm");
    });
}

extern "C" Status norm_cuda(const Node *node, void *stream) {
    const Tensor *x = node->inputs[0];
    TRY(need_f32(node->outputs[3], "the statistics of a norm"));
    if (tensor_count(x) == 0) return Status{STATUS_OK};
    NormOptions options = ((const NormAttrs *)node->attrs)->options;
    return dispatch_real(x->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        ForwardParams<T> p = {};
        p.y = data_of<T>(node->outputs[0]),
        p.sums = data_of<T>(node->inputs[1] == NULL ? NULL : node->outputs[1]);
        p.means = data_of<float>(node->outputs[2]), p.rstds = data_of<float>(node->outputs[3]);
        p.x = data_of<T>(x), p.branch = data_of<T>(node->inputs[1]);
        p.gamma = data_of<T>(node->inputs[2]), p.beta = data_of<T>(node->inputs[3]);
        p.rows = tensor_rows(x), p.C = tensor_columns(x);
        p.eps = (float)options.eps;
        bool vector = fits_packs<T>(p.C, p.y, p.sums, p.x, p.branch, p.gamma, p.beta);
        return dispatch_width<T>(vector, [&](auto width) {
            return norm_form(options.kind, p.gamma != NULL, [&](auto form) {
                return forward_launch<T, decltype(width)::value, decltype(form)>(
                    p, (cudaStream_t)stream);
            });
        });
    });
}
