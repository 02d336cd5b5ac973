/* baseline and math on CUDA: what quadratic_cpu.c computes, with batched cuBLASLt products over contiguous copies of
 * the heads and softmax in f32 between them. The whole (B, NH, Tq, Tk) is in memory and kept for backward: these are
 * the references that the tiled backends are measured against.
 *
 * Bound by memory: at B=64, NH=12, T=1024 in bf16 the scores are 1.6 GB. Forward writes them, reads and writes them for
 * softmax and reads them for the product with v (6.4 GB, 1.5 ms at 4.2 TB/s); backward passes over weights or gradients
 * eight times (12.9 GB, 3.1 ms). What a mask hides is written as zeros and not read: a causal call saves an eighth. A
 * bias' gradient takes two passes more, over the gradients of the weights before they become those of the scores. */
#include "core/cuda/cuda_common.cuh"
#include "core/cuda/matmul.cuh"
#include "nn/attention/attention.h"
#include "nn/attention/quadratic_again.cuh"
#include "nn/attention/quadratic_cuda.h"
#include "nn/attention/quadratic_heads.cuh"
#include "nn/attention/quadratic_rows.cuh"

enum { THREADS = 256, WARPS = THREADS / 32, HELD = 4 }; /* HELD: packs of a row that a lane keeps in registers */

/* Writes lse; what a row's exponentials are to be multiplied by: 0 where it sees no key, and NaN where it sees keys
 * whose scores are all -inf. The mask says which, never the maximum. */
static __device__ __forceinline__ float row_finish(float sum, float base, float *lse, const RowParams &p,
                                                   const RowMask &mask) {
    bool blind = sum == 0 && is_blind(p, mask);
    float inverse = blind ? 0.0f : sum == 0 ? NAN : 1 / sum;
    if (threadIdx.x % 32 == 0) *lse = blind ? -INFINITY : sum == 0 ? NAN : base + logf(sum);
    return inverse;
}

/* Softmax of a row that a warp's registers hold: an element is read once and costs one exponential, and none where the
 * mask hides its pack. */
template <typename T, int W, int BIAS>
static __device__ __forceinline__ void softmax_held(T *x, T *dropped, float *lse, const RowParams &p,
                                                    const RowMask &mask, int64_t row) {
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

/* A warp a row: the scores become softmax over the visible keys and zero elsewhere, and lse is kept. */
template <typename T, int W, int BIAS>
static __global__ void __launch_bounds__(THREADS) softmax_kernel(T *weights, T *dropped, float *lse, RowParams p) {
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
        for (int k = 0; k < W; k++) sum += exponential<T>(score_of<BIAS>(p, mask, j + k, v[k]) - base);
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
static __device__ __forceinline__ float row_product(const T *d, const T *weights, const RowParams &p, int64_t row,
                                                    const RowMask &mask) {
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

/* The gradient of a row that a warp's registers hold. */
template <typename T, int W>
static __device__ __forceinline__ void softmax_gradient_held(T *d, const T *weights, const RowParams &p,
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
            v[m][k] = seen_of(p, mask, j + k, w[m][k] * (v[m][k] - sum) * p.factor);
        }
        store<W>(d + j, v[m]);
    }
}

/* A warp a row: d becomes the gradient of the scores, P (d - sum_j P d) factor; and the dropped weights are made again
 * where a product needs them. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) softmax_gradient_kernel(T *d, const T *weights, RowParams p) {
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
        for (int k = 0; k < W; k++) v[k] = seen_of(p, mask, j + k, w[k] * (v[k] - sum) * p.factor);
        store<W>(d + row * Tk + j, v);
    }
}

/* The row sums alone, which the bias' gradient needs of every row that it is broadcast over. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS)
    row_product_kernel(float *sums, const T *d, const T *weights, RowParams p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (row >= p.call.B * p.call.NH * p.call.Tq) return;
    float sum = row_product<T, W>(d, weights, p, row, mask_of(p, row));
    if (threadIdx.x % 32 == 0) sums[row] = sum;
}

constexpr int BIAS_KEYS = 32, BIAS_PARTS = THREADS / BIAS_KEYS;

/* dbias = P (d - sum_j P d), summed over the rows that share it: a block is one of the bias' `rows` rows, the fastest
 * to change, and 32 of its keys. The shared rows are dealt to 8 threads a key, each adding its own in order, and the 8
 * sums are added in order. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    dbias_kernel(float *dbias, const float *sums, const T *d, const T *weights, unsigned rows, RowParams p) {
    __shared__ float parts[BIAS_PARTS][BIAS_KEYS];
    const AttentionCall &c = p.call;
    HeadLayout l = c.bias_layout;
    int64_t Q = l.token == 0 ? 1 : c.Tq, H = l.head == 0 ? 1 : c.NH, NQ = c.Tq / Q, NH = c.NH / H;
    int64_t shared = (l.batch == 0 ? c.B : 1) * NH * NQ; /* rows of the weights that share a row of the bias */
    int key = threadIdx.x % BIAS_KEYS, part = threadIdx.x / BIAS_KEYS;
    int64_t at = blockIdx.x % rows, i0 = at % Q, h0 = at / Q % H, b0 = at / Q / H;
    int64_t j = (int64_t)(blockIdx.x / rows) * BIAS_KEYS + key;
    float sum = 0;
    for (int64_t n = part; n < shared && j < c.Tk; n += BIAS_PARTS) {
        int64_t i = i0 + n % NQ, h = h0 + n / NQ % NH, b = b0 + n / NQ / NH, row = (b * c.NH + h) * c.Tq + i;
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

static Status dbias_run(float *dbias, float *sums, const void *d, const void *weights, const RowParams &p,
                        cudaStream_t stream) {
    const AttentionCall &c = p.call;
    HeadLayout l = c.bias_layout;
    int64_t rows = (l.token == 0 ? 1 : c.Tq) * (l.head == 0 ? 1 : c.NH) * (l.batch == 0 ? 1 : c.B);
    return dispatch_real(c.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        row_product_kernel<T, 1>
            <<<blocks_for(c.B * c.NH * c.Tq, WARPS), THREADS, 0, stream>>>(sums, (const T *)d, (const T *)weights, p);
        unsigned blocks = (unsigned)rows * blocks_for(c.Tk, BIAS_KEYS);
        dbias_kernel<T>
            <<<blocks, THREADS, 0, stream>>>(dbias, sums, (const T *)d, (const T *)weights, (unsigned)rows, p);
        return cuda_launched("dbias");
    });
}

template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) dropped_kernel(T *out, const T *weights, RowParams p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, Tk = p.call.Tk;
    if (row >= p.call.B * p.call.NH * p.call.Tq) return;
    for (int64_t j = threadIdx.x % 32 * W; j < Tk; j += 32 * W) {
        float v[W];
        load<W>(weights + row * Tk + j, v);
        dropout_pack<W>(p, row, j, v);
        store<W>(out + row * Tk + j, v);
    }
}

enum RowPass { PASS_SOFTMAX, PASS_SOFTMAX_GRADIENT, PASS_DROPPED };

/* first, second: weights and dropped (softmax); d and weights (its gradient); out and weights (dropped). */
static Status rows_run(RowPass pass, void *first, void *second, float *lse, const RowParams &p, cudaStream_t stream) {
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
                softmax_gradient_kernel<T, W><<<blocks, THREADS, 0, stream>>>((T *)first, (const T *)second, p);
            } else {
                dropped_kernel<T, W><<<blocks, THREADS, 0, stream>>>((T *)first, (const T *)second, p);
            }
            return cuda_launched("attention rows");
        });
    });
}

/* The workspace in pieces, one after another. */
static void *take(char **at, const AttentionCall *call, int64_t rows, int64_t columns) {
    void *piece = *at;
    *at += quadratic_piece(call, rows, columns);
    return piece;
}

static Status product(const AttentionCall *call, MatmulForm form, int64_t rows, int64_t columns, int64_t depth,
                      const void *a, const void *b, void *out, cudaStream_t stream) {
    MatmulShape shape = {};
    shape.rows = rows, shape.columns = columns, shape.depth = depth, shape.batch = call->B * call->NH;
    shape.form = form, shape.dtype = shape.out_dtype = call->dtype;
    MatmulOperands operands = {};
    operands.a = a, operands.b = b, operands.out = out;
    return matmul_run(shape, &operands, stream);
}

/* A product of weights: out (Tq, HS) = weights x, or out (Tk, HS) = weights^T x where transposed. */
static Status weighted(const RowParams &p, bool transposed, const void *weights, const void *x, void *out,
                       cudaStream_t stream) {
    const AttentionCall *c = &p.call;
    if (transposed)
        TRY(product(c, MATMUL_TN, c->Tk, c->HS, c->Tq, weights, x, out, stream));
    else
        TRY(product(c, MATMUL_NN, c->Tq, c->HS, c->Tk, weights, x, out, stream));
    return quadratic_again(out, weights, x, transposed, p, stream);
}

static HeadCopy copy_of(const AttentionCall *call, HeadLayout layout, int64_t T, bool of_keys, float factor) {
    return HeadCopy{layout, call->B, call->NH, T, call->HS, of_keys ? call->NH / call->NH_kv : 1, factor};
}

static RowParams rows_of(const AttentionCall *call, const AttentionArgs *args, float factor) {
    return RowParams{*call, args->step, call->ranges ? args->key_ranges : NULL, args->bias, factor};
}

static Status forward(const Node *node, bool prescale, cudaStream_t stream) {
    const AttentionCall *call = &((const AttentionAttrs *)node->attrs)->call;
    AttentionArgs args = attention_forward_args(node);
    char *at = (char *)args.workspace;
    void *q = take(&at, call, call->Tq, call->HS), *k = take(&at, call, call->Tk, call->HS);
    void *v = take(&at, call, call->Tk, call->HS), *out = take(&at, call, call->Tq, call->HS);
    void *weights = attention_weights(node), *dropped = call->dropout > 0 ? take(&at, call, call->Tq, call->Tk) : NULL;
    float root = prescale ? sqrtf(fabsf(call->scale)) : 1.0f, root_k = prescale ? copysignf(root, call->scale) : 1.0f;
    RowParams rows = rows_of(call, &args, prescale ? 1.0f : call->scale);
    TRY(heads_copy(q, args.q, call->dtype, copy_of(call, call->q, call->Tq, false, root), true, stream));
    TRY(heads_copy(k, args.k, call->dtype, copy_of(call, call->k, call->Tk, true, root_k), true, stream));
    TRY(heads_copy(v, args.v, call->dtype, copy_of(call, call->v, call->Tk, true, 1), true, stream));
    TRY(product(call, MATMUL_NT, call->Tq, call->Tk, call->HS, q, k, weights, stream));
    TRY(rows_run(PASS_SOFTMAX, weights, dropped, (float *)args.lse, rows, stream));
    const void *kept = dropped == NULL ? weights : dropped;
    TRY(weighted(rows, false, kept, v, out, stream));
    return heads_copy(args.out, out, call->dtype, copy_of(call, call->out, call->Tq, false, 1), false, stream);
}

static Status backward(const Node *node, cudaStream_t stream) {
    const AttentionCall *call = &((const AttentionAttrs *)node->attrs)->call;
    AttentionArgs args = attention_backward_args(node);
    char *at = (char *)args.workspace;
    int64_t Tq = call->Tq, Tk = call->Tk, HS = call->HS;
    void *q = take(&at, call, Tq, HS), *k = take(&at, call, Tk, HS), *v = take(&at, call, Tk, HS);
    void *dout = take(&at, call, Tq, HS), *dq = take(&at, call, Tq, HS), *dk = take(&at, call, Tk, HS);
    void *dv = take(&at, call, Tk, HS), *d = take(&at, call, Tq, Tk), *weights = attention_weights(node);
    HeadCopy of_q = copy_of(call, call->q, Tq, false, 1), of_out = copy_of(call, call->out, Tq, false, 1);
    HeadCopy of_k = copy_of(call, call->k, Tk, true, 1), of_v = copy_of(call, call->v, Tk, true, 1);
    float *sums = (float *)take(&at, call, call->bias == BIAS_ADDITIVE ? Tq : 0, sizeof(float));
    RowParams rows = rows_of(call, &args, call->scale);
    TRY(heads_copy(q, args.q, call->dtype, of_q, true, stream));
    TRY(heads_copy(k, args.k, call->dtype, of_k, true, stream));
    TRY(heads_copy(v, args.v, call->dtype, of_v, true, stream));
    TRY(heads_copy(dout, args.dout, call->dtype, of_out, true, stream));
    if (call->dropout > 0) TRY(rows_run(PASS_DROPPED, d, weights, NULL, rows, stream));
    TRY(weighted(rows, true, call->dropout > 0 ? d : weights, dout, dv, stream));
    TRY(product(call, MATMUL_NT, Tq, Tk, HS, dout, v, d, stream));
    if (args.dbias != NULL) TRY(dbias_run((float *)args.dbias, sums, d, weights, rows, stream));
    TRY(rows_run(PASS_SOFTMAX_GRADIENT, d, weights, NULL, rows, stream));
    TRY(weighted(rows, false, d, k, dq, stream));
    TRY(weighted(rows, true, d, q, dk, stream));
    TRY(heads_copy(args.dq, dq, call->dtype, of_q, false, stream));
    TRY(heads_copy(args.dk, dk, call->dtype, of_k, false, stream));
    return heads_copy(args.dv, dv, call->dtype, of_v, false, stream);
}

extern "C" Status baseline_forward_cuda(const Node *node, void *stream) {
    return forward(node, false, (cudaStream_t)stream);
}

extern "C" Status baseline_backward_cuda(const Node *node, void *stream) {
    return backward(node, (cudaStream_t)stream);
}

extern "C" Status math_forward_cuda(const Node *node, void *stream) {
    return forward(node, true, (cudaStream_t)stream);
}

extern "C" Status math_backward_cuda(const Node *node, void *stream) { return backward(node, (cudaStream_t)stream); }
