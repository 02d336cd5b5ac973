/* The passes of baseline and math over rows of (B, NH, Tq, Tk), one warp per row, in f32. A row
 * that fits into registers is read once: quadratic_cuda.cu counts the bytes. */
#include "nn/attention/cuda/quadratic/quadratic_softmax.cuh"

#include "core/cuda/cuda_common.cuh"

/* HELD: the packs of a row that a lane keeps in registers. */
enum { THREADS = 256, WARPS = THREADS / 32, HELD = 4 };

/* Writes lse; returns the factor for a row's exponentials: 0 if it sees no key, NaN if the scores
 * of all visible keys are -inf. The mask decides between the two, never the maximum. */
static __device__ __forceinline__ float row_finish(float sum, float base, float *lse,
                                                   const RowParams &p, const RowMask &mask) {
    bool blind = sum == 0 && is_blind(p, mask);
    float inverse = blind ? 0.0f : sum == 0 ? NAN : 1 / sum;
    if (threadIdx.x % 32 == 0) *lse = blind ? -INFINITY : sum == 0 ? NAN : base + logf(sum);
    return inverse;
}

/* Softmax of a row in a warp's registers: an element is read once and costs one exponential, or
 * none if the mask hides its pack. */
template <typename T, int W, int BIAS>
static __device__ __forceinline__ void
softmax_held(T *x, T *dropped, float *lse, const RowParams &p, const RowMask &mask, int64_t row) {
    int lane = threadIdx.x % 32, Tk = (int)p.call.Tk;
    float v[HELD][W] = {}, maximum = -INFINITY, sum = 0;
#pragma unroll
    for (int m = 0; m < HELD; m++) {
        int j = (m * 32 + lane) * W;
        if (!mask.touches<W>(j)) continue;
        load<W>(x + j, v[m]);
#pragma unroll
        for (int k = 0; k < W; k++) {
            v[m][k] = score_of<BIAS>(p, mask, j + k, v[m][k]);
            maximum = fmaxf(maximum, v[m][k]);
        }
    }
    maximum = warp_max(maximum);
    float base = maximum == -INFINITY ? 0.0f : maximum;
#pragma unroll
    for (int m = 0; m < HELD; m++) {
        bool seen = mask.touches<W>((m * 32 + lane) * W);
#pragma unroll
        for (int k = 0; k < W; k++) {
            v[m][k] = seen ? exponential<T>(v[m][k] - base) : 0.0f;
            sum += v[m][k];
        }
    }
    float inverse = row_finish(warp_sum(sum), base, lse + row, p, mask);
#pragma unroll
    for (int m = 0; m < HELD; m++) {
        int j = (m * 32 + lane) * W;
        if (j >= Tk) continue;
#pragma unroll
        for (int k = 0; k < W; k++) v[m][k] = seen_of(p, mask, j + k, v[m][k] * inverse);
        store<W>(x + j, v[m]);
        if (dropped == NULL) continue;
        dropout_pack<W>(p, row, j, v[m]);
        store<W>(dropped + j, v[m]);
    }
}

/* One warp per row: turns the scores into softmax over the visible keys and zero elsewhere, and
 * writes lse. */
template <typename T, int W, int BIAS>
static __global__ void __launch_bounds__(THREADS)
    softmax_kernel(T *weights, T *dropped, float *lse, RowParams p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, Tk = p.call.Tk;
    if (row >= p.call.B * p.call.NH * p.call.Tq) return;
    RowMask mask = mask_of(p, row);
    T *x = weights + row * Tk;
    if (Tk <= HELD * 32 * W) {
        softmax_held<T, W, BIAS>(x, dropped == NULL ? NULL : dropped + row * Tk, lse, p, mask, row);
        return;
    }
    float v[W] = {}, maximum = -INFINITY, sum = 0;
    for (int j = mask.start<W>(); j < mask.end; j += 32 * W) {
        load<W>(x + j, v);
#pragma unroll
        for (int k = 0; k < W; k++) maximum = fmaxf(maximum, score_of<BIAS>(p, mask, j + k, v[k]));
    }
    maximum = warp_max(maximum);
    float base = maximum == -INFINITY ? 0.0f : maximum;
    for (int j = mask.start<W>(); j < mask.end; j += 32 * W) {
        load<W>(x + j, v);
#pragma unroll
        for (int k = 0; k < W; k++)
            sum += exponential<T>(score_of<BIAS>(p, mask, j + k, v[k]) - base);
    }
    float inverse = row_finish(warp_sum(sum), base, lse + row, p, mask);
    for (int j = threadIdx.x % 32 * W; j < Tk; j += 32 * W) {
        if (mask.touches<W>(j)) load<W>(x + j, v);
#pragma unroll
        for (int k = 0; k < W; k++) {
            v[k] = exponential<T>(score_of<BIAS>(p, mask, j + k, v[k]) - base) * inverse;
            v[k] = seen_of(p, mask, j + k, v[k]);
        }
        store<W>(x + j, v);
        if (dropped == NULL) continue;
        dropout_pack<W>(p, row, j, v);
        store<W>(dropped + row * Tk + j, v);
    }
}

/* sum_j P d of a row. */
template <typename T, int W>
static __device__ __forceinline__ float
row_product(const T *d, const T *weights, const RowParams &p, int64_t row, const RowMask &mask) {
    float v[W], w[W], sum = 0;
    for (int j = mask.start<W>(); j < mask.end; j += 32 * W) {
        load<W>(d + row * p.call.Tk + j, v);
        load<W>(weights + row * p.call.Tk + j, w);
        if (p.call.dropout > 0) dropout_pack<W>(p, row, j, v);
#pragma unroll
        for (int k = 0; k < W; k++) sum += seen_of(p, mask, j + k, v[k] * w[k]);
    }
    return warp_sum(sum);
}

/* The gradient of a row in a warp's registers. */
template <typename T, int W>
static __device__ __forceinline__ void softmax_gradient_held(T *d, const T *weights,
                                                             const RowParams &p,
                                                             const RowMask &mask, int64_t row) {
    int lane = threadIdx.x % 32, Tk = (int)p.call.Tk;
    float v[HELD][W] = {}, w[HELD][W] = {}, sum = 0;
#pragma unroll
    for (int m = 0; m < HELD; m++) {
        int j = (m * 32 + lane) * W;
        if (!mask.touches<W>(j)) continue;
        load<W>(d + j, v[m]);
        load<W>(weights + j, w[m]);
    }
#pragma unroll
    for (int m = 0; m < HELD; m++) {
        int j = (m * 32 + lane) * W;
        if (p.call.dropout > 0 && mask.touches<W>(j)) dropout_pack<W>(p, row, j, v[m]);
#pragma unroll
        for (int k = 0; k < W; k++) sum += seen_of(p, mask, j + k, v[m][k] * w[m][k]);
    }
    sum = warp_sum(sum);
#pragma unroll
    for (int m = 0; m < HELD; m++) {
        int j = (m * 32 + lane) * W;
        if (j >= Tk) continue;
#pragma unroll
        for (int k = 0; k < W; k++) {
            float slope = slope_of(p, mask, row, j + k, w[m][k]);
            v[m][k] = seen_of(p, mask, j + k, w[m][k] * (v[m][k] - sum) * p.factor * slope);
        }
        store<W>(d + j, v[m]);
    }
}

/* One warp per row: d becomes the gradient of the scores, P (d - sum_j P d) factor, times the slope
 * of the softcap. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS)
    softmax_gradient_kernel(T *d, const T *weights, RowParams p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, Tk = p.call.Tk;
    if (row >= p.call.B * p.call.NH * p.call.Tq) return;
    RowMask mask = mask_of(p, row);
    if (Tk <= HELD * 32 * W) {
        softmax_gradient_held<T, W>(d + row * Tk, weights + row * Tk, p, mask, row);
        return;
    }
    float sum = row_product<T, W>(d, weights, p, row, mask);
    for (int j = threadIdx.x % 32 * W; j < Tk; j += 32 * W) {
        float v[W] = {}, w[W] = {};
        if (mask.touches<W>(j)) {
            load<W>(d + row * Tk + j, v);
            load<W>(weights + row * Tk + j, w);
            if (p.call.dropout > 0) dropout_pack<W>(p, row, j, v);
        }
#pragma unroll
        for (int k = 0; k < W; k++) {
            float slope = slope_of(p, mask, row, j + k, w[k]);
            v[k] = seen_of(p, mask, j + k, w[k] * (v[k] - sum) * p.factor * slope);
        }
        store<W>(d + row * Tk + j, v);
    }
}

/* The row sums only, which the gradient of a broadcast bias needs for every row. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS)
    row_product_kernel(float *sums, const T *d, const T *weights, RowParams p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (row >= p.call.B * p.call.NH * p.call.Tq) return;
    float sum = row_product<T, W>(d, weights, p, row, mask_of(p, row));
    if (threadIdx.x % 32 == 0) sums[row] = sum;
}

constexpr int BIAS_KEYS = 32, BIAS_PARTS = THREADS / BIAS_KEYS;

/* dbias = P (d - sum_j P d), summed over the rows that share it. A block processes one of the bias'
 * `rows` rows, the fastest index, and 32 of its keys. The shared rows are distributed over 8
 * threads per key; each adds its rows in order, and the 8 sums are added in order. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    dbias_kernel(float *dbias, const float *sums, const T *d, const T *weights, unsigned rows,
                 RowParams p) {
    __shared__ float parts[BIAS_PARTS][BIAS_KEYS];
    const AttentionCall &c = p.call;
    HeadLayout l = c.bias_layout;
    int64_t Q = l.token == 0 ? 1 : c.Tq, H = l.head == 0 ? 1 : c.NH, NQ = c.Tq / Q, NH = c.NH / H;
    int64_t shared =
        (l.batch == 0 ? c.B : 1) * NH * NQ; /* rows of the weights per row of the bias */
    int key = threadIdx.x % BIAS_KEYS, part = threadIdx.x / BIAS_KEYS;
    int64_t at = blockIdx.x % rows, i0 = at % Q, h0 = at / Q % H, b0 = at / Q / H;
    int64_t j = (int64_t)(blockIdx.x / rows) * BIAS_KEYS + key;
    float sum = 0;
    for (int64_t n = part; n < shared && j < c.Tk; n += BIAS_PARTS) {
        int64_t i = i0 + n % NQ, h = h0 + n / NQ % NH, b = b0 + n / NQ / NH,
                row = (b * c.NH + h) * c.Tq + i;
        float x[1] = {to_float(d[row * c.Tk + j])}, w = to_float(weights[row * c.Tk + j]);
        if (c.dropout > 0) dropout_pack<1>(p, row, j, x);
        sum += seen_of(p, mask_at(p, b, h, i), (int)j, w * (x[0] - sums[row]));
    }
    parts[part][key] = sum;
    __syncthreads();
    if (part != 0 || j >= c.Tk) return;
    for (int n = 1; n < BIAS_PARTS; n++) sum += parts[n][key];
    dbias[b0 * l.batch + h0 * l.head + i0 * l.token + j] = sum;
}

Status quadratic_dbias(float *dbias, float *sums, const void *d, const void *weights,
                       const RowParams &p, cudaStream_t stream) {
    const AttentionCall &c = p.call;
    HeadLayout l = c.bias_layout;
    int64_t rows = (l.token == 0 ? 1 : c.Tq) * (l.head == 0 ? 1 : c.NH) * (l.batch == 0 ? 1 : c.B);
    return dispatch_real(c.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        row_product_kernel<T, 1><<<blocks_for(c.B * c.NH * c.Tq, WARPS), THREADS, 0, stream>>>(
            sums, (const T *)d, (const T *)weights, p);
        unsigned blocks = (unsigned)rows * blocks_for(c.Tk, BIAS_KEYS);
        dbias_kernel<T><<<blocks, THREADS, 0, stream>>>(dbias, sums, (const T *)d,
                                                        (const T *)weights, (unsigned)rows, p);
        return cuda_launched("dbias");
    });
}

template <typename T, int W>
static __global__ void __launch_bounds__(THREADS)
    dropped_kernel(T *out, const T *weights, RowParams p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, Tk = p.call.Tk;
    if (row >= p.call.B * p.call.NH * p.call.Tq) return;
    for (int64_t j = threadIdx.x % 32 * W; j < Tk; j += 32 * W) {
        float v[W];
        load<W>(weights + row * Tk + j, v);
        dropout_pack<W>(p, row, j, v);
        store<W>(out + row * Tk + j, v);
    }
}

Status quadratic_rows(RowPass pass, void *first, void *second, float *lse, const RowParams &p,
                      cudaStream_t stream) {
    int64_t rows = p.call.B * p.call.NH * p.call.Tq;
    return dispatch_real(p.call.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        return dispatch_width<T>(fits_packs<T>(p.call.Tk, first, second), [&](auto width) {
            constexpr int W = decltype(width)::value;
            unsigned blocks = blocks_for(rows, WARPS);
            if (pass == PASS_SOFTMAX) {
                auto kernel = p.call.bias == BIAS_NONE      ? softmax_kernel<T, W, BIAS_NONE>
                              : p.call.bias == BIAS_BOOLEAN ? softmax_kernel<T, W, BIAS_BOOLEAN>
                                                            : softmax_kernel<T, W, BIAS_ADDITIVE>;
                kernel<<<blocks, THREADS, 0, stream>>>((T *)first, (T *)second, lse, p);
            } else if (pass == PASS_SOFTMAX_GRADIENT) {
                softmax_gradient_kernel<T, W>
                    <<<blocks, THREADS, 0, stream>>>((T *)first, (const T *)second, p);
            } else {
                dropped_kernel<T, W>
                    <<<blocks, THREADS, 0, stream>>>((T *)first, (const T *)second, p);
            }
            return cuda_launched("attention rows");
        });
    });
}
