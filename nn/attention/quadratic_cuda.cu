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
#include "core/rng.h"
#include "nn/attention/attention.h"
#include "nn/attention/quadratic_cuda.h"

enum { THREADS = 256, WARPS = THREADS / 32 };

/* Heads in both forms: strided as in the model's tensors, and contiguous (B, NH, T, HS). */
struct HeadCopy {
    HeadLayout layout;
    int64_t B, NH, T, HS;
    int64_t group; /* heads of the contiguous form that one strided head stands for */
    float factor;
};

template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) gather_kernel(T *out, const T *x, HeadCopy c) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * W;
    if (i >= c.B * c.NH * c.T * c.HS) return;
    int64_t j = i % c.HS, t = i / c.HS % c.T, h = i / (c.HS * c.T) % c.NH, b = i / (c.HS * c.T * c.NH);
    float value[W];
    load<W>(x + b * c.layout.batch + t * c.layout.token + h / c.group * c.layout.head + j, value);
#pragma unroll
    for (int k = 0; k < W; k++) value[k] *= c.factor;
    store<W>(out + i, value);
}

/* The other way; the heads of a group are summed in order. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) scatter_kernel(T *out, const T *x, HeadCopy c) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * W, heads = c.NH / c.group;
    if (i >= c.B * heads * c.T * c.HS) return;
    int64_t j = i % c.HS, t = i / c.HS % c.T, h = i / (c.HS * c.T) % heads, b = i / (c.HS * c.T * heads);
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

static Status heads_copy(void *out, const void *x, DType dtype, HeadCopy c, bool gather, cudaStream_t stream) {
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

/* What a row of the weights needs to know: its query, its mask, its place in the random stream. */
struct RowParams {
    AttentionCall call;
    const StepState *step;
    const int32_t *ranges; /* key_ranges; NULL without */
    const void *bias;
    float factor; /* of the scores before softmax; of the gradient after it */
};

/* The keys of a row (b, h, i), and where its bias starts. Packs of W that lie outside are not read. */
struct RowMask {
    int64_t first, end, bias;

    template <int W>
    __device__ __forceinline__ int64_t start() const {
        return first / (32 * W) * (32 * W) + threadIdx.x % 32 * W;
    }

    template <int W>
    __device__ __forceinline__ bool touches(int64_t j) const {
        return j < end && j + W > first;
    }
};

static __device__ __forceinline__ RowMask mask_of(const RowParams &p, int64_t row) {
    const AttentionCall &call = p.call;
    int64_t i = row % call.Tq, h = row / call.Tq % call.NH, b = row / call.Tq / call.NH;
    int64_t last = call.causal == CAUSAL_NONE         ? call.Tk
                   : call.causal == CAUSAL_UPPER_LEFT ? i + 1
                                                      : i + 1 + call.Tk - call.Tq;
    RowMask mask = {0, last < 0 ? 0 : last > call.Tk ? call.Tk : last, 0};
    if (call.causal != CAUSAL_NONE && call.window > 0 && last > call.window) mask.first = last - call.window;
    if (p.ranges != NULL) {
        mask.first = max(mask.first, (int64_t)p.ranges[b * call.Tq + i]);
        mask.end = min(mask.end, (int64_t)p.ranges[(call.B + b) * call.Tq + i]);
    }
    if (mask.first > mask.end) mask.first = mask.end;
    mask.bias = b * call.bias_layout.batch + h * call.bias_layout.head + i * call.bias_layout.token;
    return mask;
}

/* The scaled and masked score of key j. */
template <int BIAS>
static __device__ __forceinline__ float score_of(const RowParams &p, const RowMask &mask, int64_t j, float product) {
    if (j < mask.first || j >= mask.end) return -INFINITY;
    if (BIAS == BIAS_BOOLEAN && ((const uint8_t *)p.bias)[mask.bias + j] == 0) return -INFINITY;
    float score = product * p.factor;
    return BIAS == BIAS_ADDITIVE ? score + ((const float *)p.bias)[mask.bias + j] : score;
}

/* x *= mask / (1 - p) for W weights from key j of a row (b, h, i) on; see dropout_cpu.h for the numbering. */
template <int W>
static __device__ __forceinline__ void dropout_pack(const RowParams &p, int64_t row, int64_t j, float (&x)[W]) {
    uint64_t first_row = (uint64_t)p.step->first_sample * (uint64_t)(p.call.NH * p.call.Tq);
    uint64_t index = (first_row + (uint64_t)row) * (uint64_t)p.call.Tk + (uint64_t)j;
    uint64_t counter = rng_counter(p.step->step, p.call.stream);
    uint32_t threshold = rng_threshold(p.call.dropout);
    float scale = (float)(1 / (1 - p.call.dropout));
#pragma unroll
    for (int k = 0; k < W; k++) {
        Philox words = philox(p.step->seed, (index + k) / 4, counter);
        x[k] = words.word[(index + k) % 4] < threshold ? 0.0f : x[k] * scale;
    }
}

/* A warp a row: the scores become softmax over the visible keys and zero elsewhere, and lse is kept. */
template <typename T, int W, int BIAS>
static __global__ void __launch_bounds__(THREADS) softmax_kernel(T *weights, T *dropped, float *lse, RowParams p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, Tk = p.call.Tk;
    if (row >= p.call.B * p.call.NH * p.call.Tq) return;
    RowMask mask = mask_of(p, row);
    T *x = weights + row * Tk;
    float v[W] = {}, maximum = -INFINITY, sum = 0;
    for (int64_t j = mask.start<W>(); j < mask.end; j += 32 * W) {
        load<W>(x + j, v);
#pragma unroll
        for (int k = 0; k < W; k++) maximum = fmaxf(maximum, score_of<BIAS>(p, mask, j + k, v[k]));
    }
    maximum = warp_max(maximum);
    bool blind = maximum == -INFINITY; /* no key at all: zeros */
    for (int64_t j = mask.start<W>(); j < mask.end && !blind; j += 32 * W) {
        load<W>(x + j, v);
#pragma unroll
        for (int k = 0; k < W; k++) sum += exponential<T>(score_of<BIAS>(p, mask, j + k, v[k]) - maximum);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) lse[row] = blind ? -INFINITY : maximum + logf(sum);
    float inverse = 1 / sum;
    for (int64_t j = threadIdx.x % 32 * W; j < Tk; j += 32 * W) {
        if (mask.touches<W>(j)) load<W>(x + j, v);
#pragma unroll
        for (int k = 0; k < W; k++) {
            v[k] = blind ? 0.0f : exponential<T>(score_of<BIAS>(p, mask, j + k, v[k]) - maximum) * inverse;
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
    for (int64_t j = mask.start<W>(); j < mask.end; j += 32 * W) {
        load<W>(d + row * p.call.Tk + j, v);
        load<W>(weights + row * p.call.Tk + j, w);
        if (p.call.dropout > 0) dropout_pack<W>(p, row, j, v);
#pragma unroll
        for (int k = 0; k < W; k++) sum += w[k] == 0.0f ? 0.0f : v[k] * w[k];
    }
    return warp_sum(sum);
}

/* A warp a row: d becomes the gradient of the scores, P (d - sum_j P d) factor; and the dropped weights are made again
 * where a product needs them. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) softmax_gradient_kernel(T *d, const T *weights, RowParams p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, Tk = p.call.Tk;
    if (row >= p.call.B * p.call.NH * p.call.Tq) return;
    RowMask mask = mask_of(p, row);
    float sum = row_product<T, W>(d, weights, p, row, mask);
    for (int64_t j = threadIdx.x % 32 * W; j < Tk; j += 32 * W) {
        float v[W] = {}, w[W] = {};
        if (mask.touches<W>(j)) {
            load<W>(d + row * Tk + j, v);
            load<W>(weights + row * Tk + j, w);
            if (p.call.dropout > 0) dropout_pack<W>(p, row, j, v);
        }
#pragma unroll
        for (int k = 0; k < W; k++) v[k] = w[k] == 0.0f ? 0.0f : w[k] * (v[k] - sum) * p.factor;
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

/* dbias = P (d - sum_j P d), summed over the rows that share it: block y is one row of the bias, 32 of its keys. The
 * shared rows are dealt to 8 threads a key, each adding its own in order, and the 8 sums are added in order. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    dbias_kernel(float *dbias, const float *sums, const T *d, const T *weights, RowParams p) {
    __shared__ float parts[BIAS_PARTS][BIAS_KEYS];
    const AttentionCall &c = p.call;
    HeadLayout l = c.bias_layout;
    int64_t Q = l.token == 0 ? 1 : c.Tq, H = l.head == 0 ? 1 : c.NH, NQ = c.Tq / Q, NH = c.NH / H;
    int64_t shared = (l.batch == 0 ? c.B : 1) * NH * NQ; /* rows of the weights that share a row of the bias */
    int key = threadIdx.x % BIAS_KEYS, part = threadIdx.x / BIAS_KEYS;
    int64_t at = blockIdx.x, i0 = at % Q, h0 = at / Q % H, b0 = at / Q / H;
    int64_t j = (int64_t)blockIdx.y * BIAS_KEYS + key;
    float sum = 0;
    for (int64_t n = part; n < shared && j < c.Tk; n += BIAS_PARTS) {
        int64_t i = i0 + n % NQ, h = h0 + n / NQ % NH, b = b0 + n / NQ / NH, row = (b * c.NH + h) * c.Tq + i;
        float x[1] = {to_float(d[row * c.Tk + j])}, w = to_float(weights[row * c.Tk + j]);
        if (c.dropout > 0) dropout_pack<1>(p, row, j, x);
        sum += w == 0.0f ? 0.0f : w * (x[0] - sums[row]);
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
        dim3 grid((unsigned)rows, blocks_for(c.Tk, BIAS_KEYS));
        dbias_kernel<T><<<grid, THREADS, 0, stream>>>(dbias, sums, (const T *)d, (const T *)weights, p);
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
    TRY(product(call, MATMUL_NN, call->Tq, call->HS, call->Tk, kept, v, out, stream));
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
    TRY(product(call, MATMUL_TN, Tk, HS, Tq, call->dropout > 0 ? d : weights, dout, dv, stream));
    TRY(product(call, MATMUL_NT, Tq, Tk, HS, dout, v, d, stream));
    if (args.dbias != NULL) TRY(dbias_run((float *)args.dbias, sums, d, weights, rows, stream));
    TRY(rows_run(PASS_SOFTMAX_GRADIENT, d, weights, NULL, rows, stream));
    TRY(product(call, MATMUL_NN, Tq, HS, Tk, d, k, dq, stream));
    TRY(product(call, MATMUL_TN, Tk, HS, Tq, d, q, dk, stream));
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
