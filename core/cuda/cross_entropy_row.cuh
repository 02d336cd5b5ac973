/* Arithmetic of the cross-entropy kernels: a row's target, its online softmax, and the softcap. */
#pragma once

#include "core/cuda/cuda_common.cuh"
#include "core/ops/cross_entropy.h"

#include <cfloat>

enum { THREADS = 1024, WARPS = THREADS / 32 };
constexpr float LOG2E = 1.4426950408889634f, LN2 = 0.6931471805599453f;

/* The target of a row. If it is not a column of the vocabulary, the loss and the gradient are NaN;
 * for an ignored row both are 0. The logits do not matter in either case. */
struct RowTarget {
    int column;
    bool is_column, is_ignored;
};

static __device__ __forceinline__ RowTarget target_of(int column, int V) {
    return RowTarget{column, (unsigned)column < (unsigned)V, column == CROSS_ENTROPY_IGNORED};
}

/* The running maximum, and the sum of exponentials relative to it. Starting from -FLT_MAX, not
 * infinity, keeps the differences finite. A NaN never becomes the maximum, but the sum includes it,
 * so the loss becomes NaN. */
struct Online {
    float maximum, sum;
};

template <typename T>
static __device__ __forceinline__ Online online_merge(Online a, Online b) {
    float maximum = fmaxf(a.maximum, b.maximum);
    return {maximum, a.sum * exponential<T>(a.maximum - maximum) +
                         b.sum * exponential<T>(b.maximum - maximum)};
}

template <typename T>
static __device__ __forceinline__ Online online_warp(Online mine) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
        Online other = {__shfl_xor_sync(0xFFFFFFFFu, mine.maximum, offset),
                        __shfl_xor_sync(0xFFFFFFFFu, mine.sum, offset)};
        mine = online_merge<T>(mine, other);
    }
    return mine;
}

/* Returns the total of the row to every thread. `parity` alternates between calls and saves a
 * second barrier. */
template <typename T>
static __device__ __forceinline__ Online online_block(Online mine, int parity) {
    __shared__ Online warps[2][WARPS];
    mine = online_warp<T>(mine);
    if (threadIdx.x % 32 == 0) warps[parity][threadIdx.x / 32] = mine;
    __syncthreads();
    bool used = threadIdx.x % 32 < blockDim.x / 32;
    return online_warp<T>(used ? warps[parity][threadIdx.x % 32] : Online{-FLT_MAX, 0});
}

static __device__ __forceinline__ float exponential_2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* e^(x - maximum), times 2^shift for results kept in 16 bits. Subtract first: the difference is
 * exact near the maximum, while the rounding error of maximum * log2(e) grows with the logits. */
template <typename T>
static __device__ __forceinline__ float exponential_below(float x, float maximum, float shift = 0) {
    if constexpr (std::is_same_v<T, float>) {
        return expf(x - maximum);
    } else {
        return exponential_2(fmaf(x - maximum, LOG2E, shift));
    }
}

/* A softcap and its inverse, since divisions are slow. CAPPED kernels only. */
struct Softcap {
    float cap, inverse;
};

template <typename T>
static __device__ __forceinline__ float tanh_of(float x) {
    if constexpr (std::is_same_v<T, float>) {
        return tanhf(x);
    } else {
        return 1.0f - __fdividef(2.0f, 1.0f + exponential_2(2.0f * LOG2E * x));
    }
}

/* cap tanh(x / cap); -infinity stays. */
template <typename T, bool CAPPED>
static __device__ __forceinline__ float capped(float x, Softcap softcap) {
    if constexpr (!CAPPED) return x;
    return x == -INFINITY ? x : softcap.cap * tanh_of<T>(x * softcap.inverse);
}

/* The derivative of the softcap at z, its value; not negative in spite of rounding. */
static __device__ __forceinline__ float cap_slope(float z, Softcap softcap) {
    float t = z * softcap.inverse;
    return fmaxf(1.0f - t * t, 0.0f);
}
