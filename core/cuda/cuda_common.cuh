/* Shared by the CUDA kernels: errors as Status, one template for the three real dtypes, 16-byte
 * packs, and reductions in a fixed order, so every kernel computes the same bits in every run.
 *
 * Memory-bound kernels move 16 bytes per thread and access: a kernel is a template of its width W,
 * 16 / sizeof(T) if columns and addresses allow it, else 1. All arithmetic is f32. */
#pragma once

#include "core/op.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>
#include <type_traits>

/* Clears the runtime's error; otherwise the next launch would report it. */
static inline Status cuda_failed(cudaError_t error, const char *call) {
    (void)cudaGetLastError();
    return ERROR(error == cudaErrorMemoryAllocation ? STATUS_OUT_OF_MEMORY : STATUS_FAILURE,
                 "CUDA: %s: %s", call, cudaGetErrorString(error));
}

#define CUDA_TRY(call)                                                                             \
    do {                                                                                           \
        cudaError_t error_ = (call);                                                               \
        if (error_ != cudaSuccess) return cuda_failed(error_, #call);                              \
    } while (0)

/* After a launch: reports a launch failure. */
static inline Status cuda_launched(const char *kernel) {
    cudaError_t error = cudaGetLastError();
    if (error == cudaSuccess) return Status{STATUS_OK};
    return ERROR(STATUS_FAILURE, "CUDA: the kernel %s was not launched: %s", kernel,
                 cudaGetErrorString(error));
}

template <typename T>
struct Type {
    using type = T;
};

/* f(Type<T>) for the dtype's T. */
template <typename F>
Status dispatch_real(DType dtype, F f) {
    switch (dtype) {
    case DTYPE_F32: return f(Type<float>{});
    case DTYPE_F16: return f(Type<__half>{});
    case DTYPE_BF16: return f(Type<__nv_bfloat16>{});
    default:
        return ERROR(STATUS_UNSUPPORTED, "CUDA kernels compute in f32, f16 and bf16, not in %s",
                     dtype_name(dtype));
    }
}

template <int N>
using Int = std::integral_constant<int, N>;

/* f(Int<W>): W = 16 / sizeof(T) if `vector`, else 1. */
template <typename T, typename F>
Status dispatch_width(bool vector, F f) {
    return vector ? f(Int<16 / sizeof(T)>{}) : f(Int<1>{});
}

/* Whether `columns` is a multiple of the pack size and all these addresses are aligned to packs;
 * ignores NULL. */
template <typename T, typename... Pointers>
bool fits_packs(int64_t columns, Pointers... pointers) {
    return columns % (int64_t)(16 / sizeof(T)) == 0 && (((((uintptr_t)pointers) & 15) == 0) && ...);
}

template <typename T>
static inline T *data_of(const Tensor *t) {
    return t == NULL ? NULL : (T *)tensor_data(t);
}

/* Gradients of weights, statistics and moments are f32 in every program. */
static inline Status need_f32(const Tensor *t, const char *what) {
    if (t == NULL || t->dtype == DTYPE_F32) return Status{STATUS_OK};
    return ERROR(STATUS_UNSUPPORTED, "%s must be f32 on CUDA, not %s", what, tensor_text(t));
}

static inline unsigned blocks_for(int64_t items, int64_t per_block) {
    return (unsigned)((items + per_block - 1) / per_block);
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
    return x;
}
template <>
__device__ __forceinline__ __half from_float<__half>(float x) {
    return __float2half_rn(x);
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
    return __float2bfloat16_rn(x);
}

/* W elements from and to memory, by 16-byte accesses (at least 8-byte) if W elements fill them. */
template <int W, typename T>
__device__ __forceinline__ void load(const T *from, float (&x)[W]) {
    constexpr int BYTES = W * (int)sizeof(T);
    using Word = std::conditional_t<BYTES % 16 == 0, uint4, uint2>;
    if constexpr (BYTES % sizeof(Word) == 0) {
        Word raw[BYTES / sizeof(Word)];
#pragma unroll
        for (int i = 0; i < (int)(BYTES / sizeof(Word)); i++)
            raw[i] = reinterpret_cast<const Word *>(from)[i];
        const T *elements = reinterpret_cast<const T *>(raw);
#pragma unroll
        for (int i = 0; i < W; i++) x[i] = to_float(elements[i]);
    } else {
#pragma unroll
        for (int i = 0; i < W; i++) x[i] = to_float(from[i]);
    }
}

template <int W, typename T>
__device__ __forceinline__ void store(T *to, const float (&x)[W]) {
    constexpr int BYTES = W * (int)sizeof(T);
    using Word = std::conditional_t<BYTES % 16 == 0, uint4, uint2>;
    if constexpr (BYTES % sizeof(Word) == 0) {
        Word raw[BYTES / sizeof(Word)];
        T *elements = reinterpret_cast<T *>(raw);
#pragma unroll
        for (int i = 0; i < W; i++) elements[i] = from_float<T>(x[i]);
#pragma unroll
        for (int i = 0; i < (int)(BYTES / sizeof(Word)); i++)
            reinterpret_cast<Word *>(to)[i] = raw[i];
    } else {
#pragma unroll
        for (int i = 0; i < W; i++) to[i] = from_float<T>(x[i]);
    }
}

/* The same sum in every lane; a butterfly, so its order is fixed. */
template <typename T>
__device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, offset));
    return x;
}

/* The same sum in every thread of a block of up to 1024 threads; may be called again after other
 * block-wide work. */
template <typename T>
__device__ __forceinline__ T block_sum(T x) {
    __shared__ T sums[32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = (blockDim.x + 31) / 32;
    x = warp_sum(x);
    __syncthreads();
    if (lane == 0) sums[warp] = x;
    __syncthreads();
    return warp_sum(lane < warps ? sums[lane] : T(0));
}

/* e^x: accurate to 2 ulp in f32; the fast form if the result is rounded to 16 bits anyway. */
template <typename T>
__device__ __forceinline__ float exponential(float x) {
    if constexpr (std::is_same_v<T, float>) {
        return expf(x);
    } else {
        return __expf(x);
    }
}

/* a / b: exact in f32; the fast form, without branches, if the result is rounded to 16 bits
 * anyway. b is at least 1. */
template <typename T>
__device__ __forceinline__ float quotient(float a, float b) {
    if constexpr (std::is_same_v<T, float>) {
        return a / b;
    } else {
        return __fdividef(a, b);
    }
}

/* The tanh GELU and its derivative in the sigmoid form of core/ops/gelu.h. */
constexpr float GELU_SCALE = 1.5957691216057308f, GELU_CUBIC = 0.044715f;

/* Beyond it the derivative is 0 or 1; without this bound, the square of a large x would make it
 * NaN. */
constexpr float GELU_FAR = 1e6f;

template <typename T>
__device__ __forceinline__ float gelu_value(float x) {
    float u = GELU_SCALE * (x + GELU_CUBIC * x * x * x);
    return quotient<T>(x, 1.0f + exponential<T>(-u));
}

template <typename T>
__device__ __forceinline__ float gelu_derivative(float x) {
    x = x > GELU_FAR ? GELU_FAR : x < -GELU_FAR ? -GELU_FAR : x; /* a NaN stays NaN */
    float u = GELU_SCALE * (x + GELU_CUBIC * x * x * x);
    float sigmoid = quotient<T>(1.0f, 1.0f + exponential<T>(-u));
    return sigmoid +
           x * sigmoid * (1.0f - sigmoid) * GELU_SCALE * (1.0f + 3.0f * GELU_CUBIC * x * x);
}
