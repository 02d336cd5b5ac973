/* The forward pass of a row of layernorm or rmsnorm, for the kernels that write the result in the
 * dtype of the tensor (norm.cu) and in eight bits (norm_quantize.cu).
 *
 * A warp owns a row and keeps it in registers (PACKS packs per lane), so each element is read once.
 * The variance is computed from the differences to the mean, as on the CPU. Longer rows are read
 * again (PACKS = 0). */
#pragma once

#include "core/cuda/norm_form.cuh"

/* The kernel of a node with a scale (norm_quantize.cu). */
Status norm_quantize_cuda(const Node *node, cudaStream_t stream);

template <typename T>
struct ForwardParams {
    T *y, *sums; /* y: NULL in eight bits */
    float *means, *rstds;
    const T *x, *branch, *gamma, *beta;
    int64_t rows, C;
    float eps;
};

template <typename T>
static ForwardParams<T> forward_params(const Node *node) {
    const Tensor *x = node->inputs[0];
    ForwardParams<T> p = {};
    p.y = data_of<T>(node->outputs[0]);
    p.sums = data_of<T>(node->inputs[1] == NULL ? NULL : node->outputs[1]);
    p.means = data_of<float>(node->outputs[2]), p.rstds = data_of<float>(node->outputs[3]);
    p.x = data_of<T>(x), p.branch = data_of<T>(node->inputs[1]);
    p.gamma = data_of<T>(node->inputs[2]), p.beta = data_of<T>(node->inputs[3]);
    p.rows = tensor_rows(x), p.C = tensor_columns(x);
    p.eps = (float)((const NormAttrs *)node->attrs)->options.eps;
    return p;
}

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
static __device__ __forceinline__ void normalize_pack(const ForwardParams<T> &p, int64_t j,
                                                      float mean, float rstd, float (&v)[W]) {
    float gamma[W], beta[W] = {};
    load_gamma<Form>(p.gamma, j, gamma);
    if constexpr (Form::centered && Form::weighted) {
        if (p.beta != NULL) load<W>(p.beta + j, beta);
    }
#pragma unroll
    for (int k = 0; k < W; k++) v[k] = (v[k] - mean) * rstd * gamma[k] + beta[k];
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

/* The row's sums in the warp's registers, 0 behind the last column; stores sums and statistics. */
template <typename Form, typename T, int W, int PACKS>
static __device__ __forceinline__ void row_load(const ForwardParams<T> &p, int64_t row,
                                                float (&v)[PACKS][W], float *mean, float *rstd) {
    int lane = threadIdx.x % 32;
    float sum = 0, squares = 0;
#pragma unroll
    for (int n = 0; n < PACKS; n++) {
        int64_t j = (n * 32 + lane) * W;
        if (j >= p.C) continue;
        sum_pack<T, W>(p, row * p.C + j, v[n]);
#pragma unroll
        for (int k = 0; k < W; k++) sum += v[n][k];
    }
    *mean = Form::centered ? warp_sum(sum) / (float)p.C : 0.0f;
#pragma unroll
    for (int n = 0; n < PACKS; n++) {
        if ((n * 32 + lane) * W >= p.C) continue;
#pragma unroll
        for (int k = 0; k < W; k++) squares += (v[n][k] - *mean) * (v[n][k] - *mean);
    }
    *rstd = row_rstd<Form>(p, row, warp_sum(squares) / (float)p.C, mean);
    keep_statistics<Form>(p, row, *mean, *rstd);
}

/* The statistics of a long row; stores the sums and the statistics. A lane reads the sums again
 * that it has written: packs 32 W columns apart. */
template <typename Form, int W, typename T>
static __device__ __forceinline__ void long_row_load(const ForwardParams<T> &p, int64_t row,
                                                     float *mean, float *rstd) {
    int64_t step = 32 * W, first = threadIdx.x % 32 * W;
    const T *in = p.branch == NULL ? p.x : p.sums;
    float v[W], sum = 0, squares = 0;
    for (int64_t j = first; j < p.C; j += step) {
        sum_pack<T, W>(p, row * p.C + j, v);
#pragma unroll
        for (int k = 0; k < W; k++) Form::centered ? sum += v[k] : squares += v[k] * v[k];
    }
    *mean = Form::centered ? warp_sum(sum) / (float)p.C : 0.0f;
    for (int64_t j = first; j < p.C && Form::centered; j += step) {
        load<W>(in + row * p.C + j, v);
#pragma unroll
        for (int k = 0; k < W; k++) squares += (v[k] - *mean) * (v[k] - *mean);
    }
    *rstd = row_rstd<Form>(p, row, warp_sum(squares) / (float)p.C, mean);
    keep_statistics<Form>(p, row, *mean, *rstd);
}
