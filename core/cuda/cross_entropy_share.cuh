/* A thread's share of a row of logits in registers, in 16 bits, and the stores of its gradient. */
#pragma once

#include "core/cuda/cross_entropy_row.cuh"
#include "core/cuda/float8.cuh"

enum { MAX_PACKS = 7 };

/* Where the gradient goes: in the place of the logits, or into q in eight bits. */
enum { TO_LOGITS, TO_E4M3, TO_E5M2 };

/* Stores a pack of the gradient in eight bits, rounded to T first. */
template <typename T, int TO, int W>
static __device__ __forceinline__ void store_codes(uint8_t *to, const float (&x)[W],
                                                   float inverse) {
    float v[W];
    uint32_t codes[W / 4];
#pragma unroll
    for (int k = 0; k < W; k++) v[k] = to_float(from_float<T>(x[k]));
#pragma unroll
    for (int i = 0; i < W / 4; i++) codes[i] = four_codes<TO == TO_E5M2>(v + 4 * i, inverse);
    if constexpr (W == 8)
        *reinterpret_cast<uint2 *>(to) = make_uint2(codes[0], codes[1]);
    else
        *reinterpret_cast<uint32_t *>(to) = codes[0];
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

/* The same into q; the pack's columns from `end` on become 0. */
template <typename T, int TO>
static __device__ __forceinline__ void
share_store_codes(uint8_t *q, const RowShare &words, float factor, int end, int Vp, float inverse) {
#pragma unroll
    for (int n = 0; n < MAX_PACKS; n++) {
        int j = (n * THREADS + (int)threadIdx.x) * 8;
        float x[8];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float2 pair = unpack(words[n][i], T());
            x[2 * i] = j + 2 * i < end ? pair.x * factor : 0.0f;
            x[2 * i + 1] = j + 2 * i + 1 < end ? pair.y * factor : 0.0f;
        }
        if (j < Vp) store_codes<T, TO>(q + j, x, inverse);
    }
}
