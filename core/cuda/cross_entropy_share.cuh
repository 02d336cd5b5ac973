/* A thread's share of a row of logits in registers, in 16 bits, and the stores of its gradient. */
#pragma once

#include "core/cuda/cross_entropy_row.cuh"
#include "core/cuda/float8.cuh"

enum { MAX_PACKS = 7 };

/* Where the gradient goes: in the place of the logits, or into q in eight bits. */
enum { TO_LOGITS, TO_E4M3, TO_E5M2 };

/* Stores a pack of W values times `inverse` in eight bits. */
template <int TO, int W>
static __device__ __forceinline__ void store_codes(uint8_t *to, const float (&x)[W],
                                                   float inverse) {
    uint32_t codes[W / 4];
#pragma unroll
    for (int i = 0; i < W / 4; i++) codes[i] = four_codes<TO == TO_E5M2>(x + 4 * i, inverse);
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

/* Of both elements; NaN only where both are. */
static __device__ __forceinline__ uint32_t greater(uint32_t a, uint32_t b, __nv_bfloat16) {
    __nv_bfloat162 pair =
        __hmax2(*reinterpret_cast<__nv_bfloat162 *>(&a), *reinterpret_cast<__nv_bfloat162 *>(&b));
    return *reinterpret_cast<uint32_t *>(&pair);
}
static __device__ __forceinline__ uint32_t greater(uint32_t a, uint32_t b, __half) {
    __half2 pair = __hmax2(*reinterpret_cast<__half2 *>(&a), *reinterpret_cast<__half2 *>(&b));
    return *reinterpret_cast<uint32_t *>(&pair);
}

/* A thread's share of a row: words[n][i] holds elements (n * THREADS + threadIdx.x) * 8 + 2 i and
 * the next one. */
typedef uint32_t RowShare[MAX_PACKS][4];

/* Exponentials are stored multiplied by 2^SHIFT: f16 would lose the small ones. */
template <typename T>
constexpr float SHIFT = std::is_same_v<T, __half> ? 14.0f : 0.0f;

/* Whether pack n of every thread lies in front of column `end`: the same for all threads, so that
 * only the last pack needs care. */
static __device__ __forceinline__ bool is_inside(int n, int end) {
    return (n + 1) * THREADS * 8 <= end;
}

/* Replaces the columns of the pack at j from `end` on by the halves of `fill`. */
static __device__ __forceinline__ void pack_end(uint32_t (&words)[4], int j, int end,
                                                uint32_t fill) {
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
        if (is_inside(n, V) || j < V) word = *reinterpret_cast<const uint4 *>(copied + j);
        words[n][0] = word.x, words[n][1] = word.y, words[n][2] = word.z, words[n][3] = word.w;
        if (!is_inside(n, V)) pack_end(words[n], j, V, lowest);
    }
}

template <typename T>
static __device__ __forceinline__ float share_maximum(const RowShare &words) {
    uint32_t most = words[0][0];
#pragma unroll
    for (int n = 0; n < MAX_PACKS; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) most = greater(most, words[n][i], T());
    }
    float2 x = unpack(most, T());
    return fmaxf(-FLT_MAX, fmaxf(x.x, x.y));
}

/* Replaces the elements by their exponentials relative to `maximum`; returns the sum. */
template <typename T>
static __device__ __forceinline__ float share_exponentials(RowShare &words, float maximum) {
    float sum = 0;
#pragma unroll
    for (int n = 0; n < MAX_PACKS; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float2 x = unpack(words[n][i], T());
            x.x = exponential_below<T>(x.x, maximum, SHIFT<T>);
            x.y = exponential_below<T>(x.y, maximum, SHIFT<T>);
            sum += x.x + x.y;
            words[n][i] = pack(x.x, x.y, T());
        }
    }
    return sum;
}

static __device__ __forceinline__ float least_or_nan(float x, float most) {
    float y;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(most));
    return y;
}

static __device__ __forceinline__ float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* The exponentials of two elements with a softcap, z = cap t with t = tanh(x / cap) = 1 - 2 / (1 +
 * u) and u = e^(2 x / cap), which LARGEST_U bounds by 2^57: both share one division. Replaces x by
 * the exponentials times the slope 1 - t^2. HAS_LOWEST: some may be -infinity, which stays. */
constexpr float LARGEST_U = 57.0f;

template <typename T, bool HAS_LOWEST>
static __device__ __forceinline__ float2 capped_exponentials(float2 &x, float maximum,
                                                             Softcap softcap) {
    float to_u = 2.0f * LOG2E * softcap.inverse, to_z = LOG2E * softcap.cap,
          shift = SHIFT<T> - maximum * LOG2E;
    float a = 1.0f + exponential_2(least_or_nan(x.x * to_u, LARGEST_U)),
          b = 1.0f + exponential_2(least_or_nan(x.y * to_u, LARGEST_U)), both = reciprocal(a * b);
    float2 t = {fmaf(b * both, -2.0f, 1.0f), fmaf(a * both, -2.0f, 1.0f)},
           e = {exponential_2(fmaf(t.x, to_z, shift)), exponential_2(fmaf(t.y, to_z, shift))};
    if constexpr (HAS_LOWEST) {
        e.x = x.x == -INFINITY ? 0.0f : e.x;
        e.y = x.y == -INFINITY ? 0.0f : e.y;
    }
    x = make_float2(e.x * fmaf(-t.x, t.x, 1.0f), e.y * fmaf(-t.y, t.y, 1.0f));
    return e;
}

template <typename T, bool HAS_LOWEST>
static __device__ __forceinline__ float capped_pack(uint32_t (&words)[4], float maximum,
                                                    Softcap softcap) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float2 x = unpack(words[i], T()),
               e = capped_exponentials<T, HAS_LOWEST>(x, maximum, softcap);
        sum += e.x + e.y;
        words[i] = pack(x.x, x.y, T());
    }
    return sum;
}

/* Whether an element in front of the last packs is -infinity. */
template <typename T>
static __device__ __forceinline__ bool share_has_lowest(const RowShare &words, int V) {
    uint32_t most = pack(-INFINITY, -INFINITY, T());
#pragma unroll
    for (int n = 0; n < MAX_PACKS; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (is_inside(n, V)) most = greater(most, words[n][i] ^ 0x80008000u, T());
    }
    float2 x = unpack(most, T());
    return x.x == INFINITY || x.y == INFINITY;
}

/* The same with a softcap, times its slopes; returns the sum of the exponentials alone. `maximum`
 * is a value of the softcap. */
template <typename T>
static __device__ __forceinline__ float share_capped_exponentials(RowShare &words, int V,
                                                                  float maximum, Softcap softcap) {
    bool has_lowest = share_has_lowest<T>(words, V);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < MAX_PACKS; n++) {
        if (has_lowest || !is_inside(n, V))
            sum += capped_pack<T, true>(words[n], maximum, softcap);
        else
            sum += capped_pack<T, false>(words[n], maximum, softcap);
    }
    return sum;
}

template <typename T>
static __device__ __forceinline__ void pack_values(const uint32_t (&words)[4], float (&x)[8]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float2 pair = unpack(words[i], T());
        x[2 * i] = pair.x, x[2 * i + 1] = pair.y;
    }
}

/* Stores the gradients, `factor` times the words; columns from V on become 0. */
template <typename T>
static __device__ __forceinline__ void share_store(T *logits, const RowShare &words, float factor,
                                                   int V, int Vp) {
#pragma unroll
    for (int n = 0; n < MAX_PACKS; n++) {
        int j = (n * THREADS + (int)threadIdx.x) * 8;
        uint32_t out[4];
        float x[8];
        pack_values<T>(words[n], x);
#pragma unroll
        for (int i = 0; i < 4; i++) out[i] = pack(x[2 * i] * factor, x[2 * i + 1] * factor, T());
        if (!is_inside(n, V)) pack_end(out, j, V, 0);
        if (is_inside(n, V) || j < Vp)
            *reinterpret_cast<uint4 *>(logits + j) = make_uint4(out[0], out[1], out[2], out[3]);
    }
}

/* The same into q, with its inverse scale in `factor`. */
template <typename T, int TO>
static __device__ __forceinline__ void share_store_codes(uint8_t *q, const RowShare &words,
                                                         float factor, int V, int Vp) {
#pragma unroll
    for (int n = 0; n < MAX_PACKS; n++) {
        int j = (n * THREADS + (int)threadIdx.x) * 8;
        float x[8];
        pack_values<T>(words[n], x);
        if (is_inside(n, V)) {
            store_codes<TO>(q + j, x, factor);
        } else if (j < Vp) {
#pragma unroll
            for (int k = 0; k < 8; k++) x[k] = j + k < V ? x[k] * factor : 0.0f;
            store_codes<TO>(q + j, x, 1.0f);
        }
    }
}

/* A row whose gradient is 0. */
template <typename T, int TO>
static __device__ __forceinline__ void row_clear(T *logits, uint8_t *q, int Vp) {
    for (int j = (int)threadIdx.x * 8; j < Vp; j += THREADS * 8) {
        if constexpr (TO == TO_LOGITS)
            *reinterpret_cast<uint4 *>(logits + j) = make_uint4(0, 0, 0, 0);
        else
            *reinterpret_cast<uint2 *>(q + j) = make_uint2(0, 0);
    }
}
