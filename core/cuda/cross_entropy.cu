/* Bound by memory: a row of Vp logits is read once and its gradient written once: 13.2 GB and 3.1
 * ms for 65536 rows of 50304 in bf16 at 4.2 TB/s, 6.3 us per row and multiprocessor; 9.9 GB and 4.7
 * us if the gradient has eight bits. So copies and arithmetic must overlap: blocks are persistent;
 * each holds its row in registers while the next row is copied into shared memory (101 KB). An
 * element costs one exponential (1.8 us a row), relative to the maximum of its thread, kept in 16
 * bits, and scaled by the result of the block's reduction; and some 16 instructions (4 us a row),
 * by count. A thread processes the packs that it copied, so only the reduction synchronizes. Rows
 * that are too long, and rows of f32, are read from memory in two passes.
 *
 * With a softcap (CAPPED) an element costs 2.5 operations of the special-function unit (4.5 us a
 * row) and 8 more instructions. */
#include "core/cuda/cross_entropy_share.cuh"
#include "core/float8.h"
#include "core/ops/quantize.h"
#include "core/step.h"

#include <cuda_pipeline.h>

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
    uint8_t *q; /* with its scale, and the observation of core/ops/quantize.h or NULL */
    const float *q_scale;
    uint32_t *observed;
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

/* The gradient of the target is the greatest of its row, because the others sum to its size. */
template <typename T, int TO>
static __device__ __forceinline__ void observe(const LossParams<T> &p, float gradient,
                                               float inverse) {
    const float most = float8_largest(TO == TO_E5M2 ? DTYPE_F8E5M2 : DTYPE_F8E4M3);
    uint32_t bits = __float_as_uint(gradient) & 0x7FFFFFFF;
    if (p.observed == NULL) return;
    if (bits > *(volatile uint32_t *)(p.observed + OBSERVED_LARGEST))
        atomicMax(p.observed + OBSERVED_LARGEST, bits);
    if (bits < 0x7F800000 && fabsf(gradient * inverse) > most)
        atomicAdd(p.observed + OBSERVED_SATURATED, 1u);
}

template <typename T, bool CAPPED, int W>
static __device__ __forceinline__ void cap_pack(float (&x)[W], Softcap softcap) {
#pragma unroll
    for (int k = 0; k < W; k++) x[k] = capped<T, CAPPED>(x[k], softcap);
}

/* x[k], without an index in a register. */
template <int W>
static __device__ __forceinline__ float pack_element(const float (&x)[W], int k) {
    float element = x[0];
#pragma unroll
    for (int i = 1; i < W; i++) element = k == i ? x[i] : element;
    return element;
}

/* One block per row; reads the row twice. */
template <typename T, int W, bool CAPPED, int TO>
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
        if constexpr (TO == TO_LOGITS) {
            store<W>(logits + j, x);
        } else {
            float inverse = 1.0f / *p.q_scale;
            store_codes<TO>(p.q + (int64_t)blockIdx.x * p.Vp + j, x, inverse);
            int k = target.is_column ? target.column - j : target.is_ignored ? -1 : 0;
            if ((unsigned)k < W) observe<T, TO>(p, pack_element(x, k), inverse);
        }
    }
}

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

template <typename T, bool CAPPED, int TO>
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
        float sum = CAPPED ? share_capped_exponentials<T>(words, p.V, own, p.softcap)
                           : share_exponentials<T>(words, own);
        Online row = online_block<T>(Online{own, sum}, parity);
        if (owner) {
            float loss = logf(row.sum) - SHIFT<T> * LN2 - (wanted - row.maximum);
            p.losses[index] = target.is_ignored ? 0.0f : loss;
        }
        if (!p.gradient) continue;
        T *logits = p.logits + index * p.Vp;
        uint8_t *q = p.q + index * p.Vp;
        if (target.is_ignored) {
            row_clear<T, TO>(logits, q, p.Vp);
            continue;
        }
        float factor =
            target.is_column ? scale / row.sum * exponential_below<T>(own, row.maximum) : NAN;
        float inverse = TO == TO_LOGITS ? 1.0f : 1.0f / *p.q_scale;
        if constexpr (TO == TO_LOGITS)
            share_store<T>(logits, words, factor, p.V, p.Vp);
        else
            share_store_codes<T, TO>(q, words, factor * inverse, p.V, p.Vp);
        /* in 16 bits, softmax - 1 would lose the digits of the softmax */
        float likelihood = exponential_below<T>(wanted, row.maximum, SHIFT<T>) / row.sum;
        float slope = CAPPED ? cap_slope(wanted, p.softcap) : 1.0f;
        float gradient = scale * (likelihood - 1.0f) * slope;
        if constexpr (TO == TO_LOGITS) {
            if (owner && target.is_column) logits[target.column] = from_float<T>(gradient);
        } else {
            float pair[4] = {gradient};
            if (owner && target.is_column)
                q[target.column] = (uint8_t)four_codes<TO == TO_E5M2>(pair, inverse);
            if (owner) observe<T, TO>(p, gradient, inverse);
        }
    }
}

static Status device_limits(int *shared, int *n_sms) {
    int device;
    CUDA_TRY(cudaGetDevice(&device));
    CUDA_TRY(cudaDeviceGetAttribute(shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
    CUDA_TRY(cudaDeviceGetAttribute(n_sms, cudaDevAttrMultiProcessorCount, device));
    return Status{STATUS_OK};
}

template <typename T, int W, bool CAPPED, int TO>
static Status loss_launch(const LossParams<T> &p, cudaStream_t stream) {
    int shared, n_sms, row_bytes = p.Vp * (int)sizeof(T);
    TRY(device_limits(&shared, &n_sms));
    if constexpr (W == 8) {
        if (p.Vp <= MAX_PACKS * THREADS * W && p.Vp > THREADS * W && row_bytes + 1024 <= shared) {
            CUDA_TRY(cudaFuncSetAttribute(overlapped_kernel<T, CAPPED, TO>,
                                          cudaFuncAttributeMaxDynamicSharedMemorySize, row_bytes));
            unsigned blocks = (unsigned)(p.rows < n_sms ? p.rows : n_sms);
            overlapped_kernel<T, CAPPED, TO><<<blocks, THREADS, (size_t)row_bytes, stream>>>(p);
            return cuda_launched("cross_entropy");
        }
    }
    unsigned wanted = (blocks_for(p.Vp, W) + 31) / 32 * 32,
             threads = wanted > THREADS ? (unsigned)THREADS : wanted;
    direct_kernel<T, W, CAPPED, TO><<<(unsigned)p.rows, threads, 0, stream>>>(p);
    return cuda_launched("cross_entropy");
}

/* Columns of q are a multiple of 16, so packs fit. */
template <typename T>
static Status codes_launch(const LossParams<T> &p, DType dtype, cudaStream_t stream) {
    constexpr int W = 16 / sizeof(T);
    if (!fits_packs<T>(p.Vp, p.logits, p.q))
        return ERROR(STATUS_UNSUPPORTED, "cross_entropy: logits of %d columns in eight bits", p.Vp);
    if (p.softcap.cap > 0)
        return dtype == DTYPE_F8E5M2 ? loss_launch<T, W, true, TO_E5M2>(p, stream)
                                     : loss_launch<T, W, true, TO_E4M3>(p, stream);
    return dtype == DTYPE_F8E5M2 ? loss_launch<T, W, false, TO_E5M2>(p, stream)
                                 : loss_launch<T, W, false, TO_E4M3>(p, stream);
}

extern "C" Status cross_entropy_cuda(const Node *node, void *stream) {
    const CrossEntropyAttrs *attrs = (const CrossEntropyAttrs *)node->attrs;
    const Tensor *logits = node->outputs[1], *q = node->outputs[CROSS_ENTROPY_Q];
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
        p.q = data_of<uint8_t>(q), p.q_scale = data_of<float>(node->inputs[CROSS_ENTROPY_SCALE]);
        p.observed = data_of<uint32_t>(node->outputs[CROSS_ENTROPY_OBSERVED]);
        if (q != NULL) return codes_launch(p, q->dtype, (cudaStream_t)stream);
        return dispatch_width<T>(fits_packs<T>(p.Vp, p.logits), [&](auto width) {
            constexpr int W = decltype(width)::value;
            return attrs->softcap > 0
                       ? loss_launch<T, W, true, TO_LOGITS>(p, (cudaStream_t)stream)
                       : loss_launch<T, W, false, TO_LOGITS>(p, (cudaStream_t)stream);
        });
    });
}
