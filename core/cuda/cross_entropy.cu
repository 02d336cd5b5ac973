/* Bound by memory: a row of Vp logits is read once and its gradient written once: 13.2 GB and 3.1
 * ms for 65536 rows of 50304 in bf16 at 4.2 TB/s, 6.3 us per row and multiprocessor. So copies and
 * arithmetic must overlap: blocks are persistent; each holds its row in registers while the next
 * row is copied into shared memory (101 KB). An element costs one exponential (1.8 us a row):
 * relative to the maximum of its thread, kept in 16 bits, and scaled by the result of the block's
 * reduction. A thread processes the packs that it copied, so only the reduction synchronizes. Rows
 * that are too long, and rows of f32, are read from memory in two passes.
 *
 * With a softcap (CAPPED) an element costs four more operations of the special-function unit: some
 * 7 us a row, which then bound the kernel. */
#include "core/cuda/cross_entropy.cuh"

#include "core/step.h"

#include <cuda_pipeline.h>

enum { MAX_PACKS = 7 };

template <typename T>
struct LossParams {
    float *losses;
    T *logits;
    const int32_t *targets;
    const StepState *step;
    int rows, V, Vp;
    double scale;
    bool gradient;
    Softcap softcap;
};

/* The number of valid elements in the pack; W if it lies inside the vocabulary. */
template <typename T, int W>
static __device__ __forceinline__ Online online_pack(Online row, float (&x)[W], int valid) {
    if (valid < W) {
#pragma unroll
        for (int k = 0; k < W; k++) x[k] = k < valid ? x[k] : -FLT_MAX;
    }
    float maximum = x[0], sum = 0;
#pragma unroll
    for (int k = 1; k < W; k++) maximum = fmaxf(maximum, x[k]);
    if (maximum > row.maximum) {
        row.sum *= exponential_below<T>(row.maximum, maximum);
        row.maximum = maximum;
    }
#pragma unroll
    for (int k = 0; k < W; k++) sum += k < valid ? exponential_below<T>(x[k], row.maximum) : 0.0f;
    row.sum += sum;
    return row;
}

/* Replaces the pack that starts at element j by its gradient. */
template <typename T, int W>
static __device__ __forceinline__ void gradient_pack(float (&x)[W], Online row, float factor,
                                                     float scale, int to_target, int valid) {
#pragma unroll
    for (int k = 0; k < W; k++) x[k] = exponential_below<T>(x[k], row.maximum) * factor;
    if ((unsigned)to_target < W) {
#pragma unroll
        for (int k = 0; k < W; k++) x[k] -= k == to_target ? scale : 0.0f;
    }
    if (valid < W) {
#pragma unroll
        for (int k = 0; k < W; k++) x[k] = k < valid ? x[k] : 0.0f;
    }
}

template <typename T>
static __device__ __forceinline__ float loss_scale(const LossParams<T> &p) {
    return (float)(p.scale * (double)p.step->loss_scale);
}

template <typename T, bool CAPPED, int W>
static __device__ __forceinline__ void cap_pack(float (&x)[W], Softcap softcap) {
#pragma unroll
    for (int k = 0; k < W; k++) x[k] = capped<T, CAPPED>(x[k], softcap);
}

/* One block per row; reads the row twice. */
template <typename T, int W, bool CAPPED>
static __global__ void __launch_bounds__(THREADS) direct_kernel(LossParams<T> p) {
    T *logits = p.logits + (int64_t)blockIdx.x * p.Vp;
    RowTarget target = target_of(p.targets[blockIdx.x], p.V);
    int first = (int)threadIdx.x * W, step = (int)blockDim.x * W;
    float wanted = target.is_column ? to_float(logits[target.column]) : NAN, x[W];
    wanted = capped<T, CAPPED>(wanted, p.softcap);
    Online row = {-FLT_MAX, 0};
#pragma unroll 2
    for (int j = first; j < p.V; j += step) {
        load<W>(logits + j, x);
        cap_pack<T, CAPPED>(x, p.softcap);
        row = online_pack<T, W>(row, x, p.V - j);
    }
    row = online_block<T>(row, 0); /* all threads have read `wanted` */
    if (threadIdx.x == 0)
        p.losses[blockIdx.x] = target.is_ignored ? 0.0f : logf(row.sum) - (wanted - row.maximum);
    if (!p.gradient) return;
    float scale = loss_scale(p), factor = target.is_column ? scale / row.sum : NAN;
    int valid = target.is_ignored ? 0 : p.V;
#pragma unroll 2
    for (int j = first; j < p.Vp; j += step) {
        float slope[W];
        if (j < valid) load<W>(logits + j, x);
        if constexpr (CAPPED) {
            cap_pack<T, CAPPED>(x, p.softcap);
#pragma unroll
            for (int k = 0; k < W; k++) slope[k] = cap_slope(x[k], p.softcap);
        }
        gradient_pack<T, W>(x, row, factor, scale, target.is_column ? target.column - j : -1,
                            valid - j);
        if constexpr (CAPPED) { /* the slope is not a number where the gradient is 0 */
#pragma unroll
            for (int k = 0; k < W; k++) x[k] = x[k] == 0 ? 0 : x[k] * slope[k];
        }
        store<W>(logits + j, x);
    }
}

/* Two 16-bit elements in a register. */
static __device__ __forceinline__ float2 unpack(uint32_t word, __nv_bfloat16) {
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xFFFF0000u));
}
static __device__ __forceinline__ float2 unpack(uint32_t word, __half) {
    return __half22float2(*reinterpret_cast<const __half2 *>(&word));
}
static __device__ __forceinline__ uint32_t pack(float low, float high, __nv_bfloat16) {
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&pair);
}
static __device__ __forceinline__ uint32_t pack(float low, float high, __half) {
    __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&pair);
}

/* A thread's share of a row: words[n][i] holds elements (n * THREADS + threadIdx.x) * 8 + 2 i and
 * the next one. */
typedef uint32_t RowShare[MAX_PACKS][4];

/* Starts the copy of this thread's packs of a row into shared memory. */
template <typename T>
static __device__ __forceinline__ void row_copy(const LossParams<T> &p, T *to, int64_t index) {
    const T *from = p.logits + index * p.Vp;
    if (index < p.rows) {
        for (int j = (int)threadIdx.x * 8; j < p.V; j += THREADS * 8)
            __pipeline_memcpy_async(to + j, from + j, 16);
    }
    __pipeline_commit();
}

/* Exponentials are stored multiplied by 2^SHIFT: f16 would lose the small ones. */
template <typename T>
constexpr float SHIFT = std::is_same_v<T, __half> ? 14.0f : 0.0f;

/* Replaces the columns of the pack at j from `end` on by the halves of `fill`. */
static __device__ __forceinline__ void pack_end(uint32_t (&words)[4], int j, int end,
                                                uint32_t fill) {
    if (j + 8 <= end) return;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (j + 2 * i >= end) words[i] = fill;
        if (j + 2 * i + 1 == end) words[i] = (words[i] & 0xFFFFu) | (fill & 0xFFFF0000u);
    }
}

/* Loads the share from shared memory; padding columns become -infinity, whose exponential is 0. */
template <typename T>
static __device__ __forceinline__ void share_load(RowShare &words, const T *copied, int V) {
    const uint32_t lowest = pack(-INFINITY, -INFINITY, T());
#pragma unroll
    for (int n = 0; n < MAX_PACKS; n++) {
        int j = (n * THREADS + (int)threadIdx.x) * 8;
        uint4 word = make_uint4(lowest, lowest, lowest, lowest);
        if (j < V) word = *reinterpret_cast<const uint4 *>(copied + j);
        words[n][0] = word.x, words[n][1] = word.y, words[n][2] = word.z, words[n][3] = word.w;
        pack_end(words[n], j, V, lowest);
    }
}

template <typename T>
static __device__ __forceinline__ float share_maximum(const RowShare &words) {
    float maximum = -FLT_MAX;
#pragma unroll
    for (int n = 0; n < MAX_PACKS; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float2 x = unpack(words[n][i], T());
            maximum = fmaxf(maximum, fmaxf(x.x, x.y));
        }
    }
    return maximum;
}

/* Replaces the elements by their exponentials relative to `maximum`; returns the sum. */
template <typename T, bool CAPPED>
static __device__ __forceinline__ float share_exponentials(RowShare &words, float maximum,
                                                           Softcap softcap) {
    float sum = 0;
#pragma unroll
    for (int n = 0; n < MAX_PACKS; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float2 x = unpack(words[n][i], T());
            x.x = exponential_below<T>(capped<T, CAPPED>(x.x, softcap), maximum, SHIFT<T>);
            x.y = exponential_below<T>(capped<T, CAPPED>(x.y, softcap), maximum, SHIFT<T>);
            sum += x.x + x.y;
            words[n][i] = pack(x.x, x.y, T());
        }
    }
    return sum;
}

/* The slope of the softcap at an element, from its exponential relative to `maximum`: in 16 bits it
 * holds the element to 2^-9. */
template <typename T>
static __device__ __forceinline__ float slope_at(float exponential, float maximum,
                                                 Softcap softcap) {
    if (exponential == 0) return 1.0f;
    float shifted = __log2f(exponential) - SHIFT<T>;
    return cap_slope(maximum + shifted * LN2, softcap);
}

/* Sets the columns from `end` on to 0. */
template <typename T, bool CAPPED>
static __device__ __forceinline__ void share_store(T *logits, const RowShare &words, float factor,
                                                   int end, int Vp, float maximum,
                                                   Softcap softcap) {
#pragma unroll
    for (int n = 0; n < MAX_PACKS; n++) {
        int j = (n * THREADS + (int)threadIdx.x) * 8;
        uint32_t out[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float2 x = unpack(words[n][i], T()), slope = make_float2(1.0f, 1.0f);
            if constexpr (CAPPED) {
                slope = make_float2(slope_at<T>(x.x, maximum, softcap),
                                    slope_at<T>(x.y, maximum, softcap));
            }
            out[i] = pack(x.x * factor * slope.x, x.y * factor * slope.y, T());
        }
        pack_end(out, j, end, 0);
        if (j < Vp)
            *reinterpret_cast<uint4 *>(logits + j) = make_uint4(out[0], out[1], out[2], out[3]);
    }
}

template <typename T, bool CAPPED>
static __global__ void __launch_bounds__(THREADS, 1) overlapped_kernel(LossParams<T> p) {
    extern __shared__ uint4 row_memory[];
    T *copied = reinterpret_cast<T *>(row_memory);
    float scale = loss_scale(p);
    int parity = 0;
    row_copy(p, copied, blockIdx.x);
    for (int64_t index = blockIdx.x; index < p.rows; index += gridDim.x, parity ^= 1) {
        RowShare words;
        RowTarget target = target_of(p.targets[index], p.V);
        bool owner = (unsigned)target.column / 8 % THREADS ==
                     threadIdx.x; /* the thread that owns the pack with the target */
        __pipeline_wait_prior(0);
        float wanted = owner && target.is_column ? to_float(copied[target.column]) : NAN;
        wanted = capped<T, CAPPED>(wanted, p.softcap);
        share_load(words, copied, p.V);
        row_copy(p, copied, index + gridDim.x);
        float own = capped<T, CAPPED>(share_maximum<T>(words), p.softcap);
        float sum = share_exponentials<T, CAPPED>(words, own, p.softcap);
        Online row = online_block<T>(Online{own, sum}, parity);
        if (owner) {
            float loss = logf(row.sum) - SHIFT<T> * LN2 - (wanted - row.maximum);
            p.losses[index] = target.is_ignored ? 0.0f : loss;
        }
        if (!p.gradient) continue;
        T *logits = p.logits + index * p.Vp;
        float factor =
            target.is_column ? scale / row.sum * exponential_below<T>(own, row.maximum) : NAN;
        share_store<T, CAPPED>(logits, words, factor, target.is_ignored ? 0 : p.V, p.Vp, own,
                               p.softcap);
        /* in 16 bits, softmax - 1 would lose the digits of the softmax */
        float likelihood = exponential_below<T>(wanted, row.maximum, SHIFT<T>) / row.sum;
        float slope = CAPPED ? cap_slope(wanted, p.softcap) : 1.0f;
        if (owner && target.is_column)
            logits[target.column] = from_float<T>(scale * (likelihood - 1.0f) * slope);
    }
}

static Status device_limits(int *shared, int *n_sms) {
    int device;
    CUDA_TRY(cudaGetDevice(&device));
    CUDA_TRY(cudaDeviceGetAttribute(shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
    CUDA_TRY(cudaDeviceGetAttribute(n_sms, cudaDevAttrMultiProcessorCount, device));
    return Status{STATUS_OK};
}

template <typename T, int W, bool CAPPED>
static Status loss_launch(const LossParams<T> &p, cudaStream_t stream) {
    int shared, n_sms, row_bytes = p.Vp * (int)sizeof(T);
    TRY(device_limits(&shared, &n_sms));
    if constexpr (W == 8) {
        if (p.Vp <= MAX_PACKS * THREADS * W && p.Vp > THREADS * W && row_bytes + 1024 <= shared) {
            CUDA_TRY(cudaFuncSetAttribute(overlapped_kernel<T, CAPPED>,
                                          cudaFuncAttributeMaxDynamicSharedMemorySize, row_bytes));
            unsigned blocks = (unsigned)(p.rows < n_sms ? p.rows : n_sms);
            overlapped_kernel<T, CAPPED><<<blocks, THREADS, (size_t)row_bytes, stream>>>(p);
            return cuda_launched("cross_entropy");
        }
    }
    unsigned wanted = (blocks_for(p.Vp, W) + 31) / 32 * 32,
             threads = wanted > THREADS ? (unsigned)THREADS : wanted;
    direct_kernel<T, W, CAPPED><<<(unsigned)p.rows, threads, 0, stream>>>(p);
    return cuda_launched("cross_entropy");
}

extern "C" Status cross_entropy_cuda(const Node *node, void *stream) {
    const CrossEntropyAttrs *attrs = (const CrossEntropyAttrs *)node->attrs;
    const Tensor *logits = node->outputs[1];
    TRY(need_f32(node->outputs[0], "the losses"));
    if (tensor_rows(logits) == 0) return Status{STATUS_OK};
    return dispatch_real(logits->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        LossParams<T> p = {};
        p.losses = data_of<float>(node->outputs[0]), p.logits = data_of<T>(logits);
        p.targets = data_of<int32_t>(node->inputs[0]), p.step = data_of<StepState>(node->inputs[1]);
        p.rows = (int)tensor_rows(logits), p.V = (int)attrs->V, p.Vp = (int)tensor_columns(logits);
        p.scale = attrs->scale, p.gradient = attrs->gradient, p.softcap.cap = (float)attrs->softcap;
        if (attrs->softcap > 0) p.softcap.inverse = (float)(1 / attrs->softcap);
        return dispatch_width<T>(fits_packs<T>(p.Vp, p.logits), [&](auto width) {
            constexpr int W = decltype(width)::value;
            return attrs->softcap > 0 ? loss_launch<T, W, true>(p, (cudaStream_t)stream)
                                      : loss_launch<T, W, false>(p, (cudaStream_t)stream);
        });
    });
}
