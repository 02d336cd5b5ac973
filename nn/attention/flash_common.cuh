/* What the flash kernels of every generation share: the parameters a kernel is launched with, the mask as intervals,
 * packing to 16 bits, and the row sums that open the backward pass.
 *
 * A kernel is compiled for each FlashKind, so that a call pays for what it asks for alone: the plain kind computes its
 * intervals, the others read what narrows them (two words a row, from L1 after the first tile). */
#pragma once

#include "core/cuda/cuda_common.cuh"
#include "core/rng.h"
#include "nn/attention/flash_cuda.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

constexpr float FLASH_LOG2E = 1.4426950408889634f;
constexpr float FLASH_LN2 = 0.6931471805599453f;
constexpr float FLASH_INF = __builtin_huge_valf();
constexpr int FLASH_ROW_PAD = 128; /* rows of the workspace are padded to this, so that tiles read them unchecked */

enum FlashKind {
    FLASH_PLAIN,   /* the mask is what the call tells */
    FLASH_RANGES,  /* narrowed by ranges */
    FLASH_DROPOUT, /* dropout, with ranges or without */
};

struct FlashParams {
    const void *q, *k, *v, *dout;
    void *out, *dq, *dk, *dv;
    float *lse;
    float *lse2, *delta; /* workspace: lse in base 2, and rowsum(dout * out); (B * NH, Tq_pad) each */
    const int32_t *key_ranges, *query_ranges; /* (2, B, Tq), (2, B, Tk), or NULL: the first and the end of each row */
    const StepState *step;
    HeadLayout lq, lk, lv, lo;
    int B, NH, NH_kv, group, Tq, Tk, Tq_pad;
    int causal, diagonal, window; /* key j of query i is allowed where i + diagonal - window < j <= i + diagonal */
    float scale, scale2;          /* scale2 = scale * log2(e): exponentials are taken in base 2 */
    float keep_scale;             /* dropout: 1 / (1 - p) */
    uint32_t threshold, stream;
};

/* Narrows [first, last] to what row b's ranges say of token i of T; tiles may ask for tokens past the end. */
template <FlashKind KIND>
__device__ __forceinline__ void flash_narrow(const FlashParams &p, const int32_t *ranges, int T, int b, int i,
                                             int &first, int &last) {
    if (KIND == FLASH_PLAIN || (KIND == FLASH_DROPOUT && ranges == nullptr)) return;
    const int32_t *at = ranges + (int64_t)b * T + min(i, T - 1);
    first = max(first, __ldg(at));
    last = min(last, __ldg(at + (int64_t)p.B * T) - 1);
}

/* The keys [first, last] that query i of row b may see; empty where last < first. Neither falls as i rises. */
template <FlashKind KIND>
__device__ __forceinline__ void flash_keys_of(const FlashParams &p, int b, int i, int &first, int &last) {
    last = p.causal ? min(i + p.diagonal, p.Tk - 1) : p.Tk - 1;
    first = p.window ? max(i + p.diagonal - p.window + 1, 0) : 0;
    flash_narrow<KIND>(p, p.key_ranges, p.Tq, b, i, first, last);
}

/* The queries [first, last] that may see key j of row b. */
template <FlashKind KIND>
__device__ __forceinline__ void flash_queries_of(const FlashParams &p, int b, int j, int &first, int &last) {
    first = p.causal ? max(j - p.diagonal, 0) : 0;
    last = p.window ? min(j - p.diagonal + p.window - 1, p.Tq - 1) : p.Tq - 1;
    flash_narrow<KIND>(p, p.query_ranges, p.Tk, b, j, first, last);
}

__device__ __forceinline__ float flash_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

template <typename T>
__device__ __forceinline__ uint32_t flash_pack(float low, float high);
template <>
__device__ __forceinline__ uint32_t flash_pack<__nv_bfloat16>(float low, float high) {
    uint32_t word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

template <>
__device__ __forceinline__ uint32_t flash_pack<__half>(float low, float high) {
    uint32_t word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

template <typename T>
__device__ __forceinline__ float2 flash_unpack(uint32_t word);
template <>
__device__ __forceinline__ float2 flash_unpack<__nv_bfloat16>(uint32_t word) {
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xFFFF0000u));
}

template <>
__device__ __forceinline__ float2 flash_unpack<__half>(uint32_t word) {
    return __half22float2(*reinterpret_cast<const __half2 *>(&word));
}

/* Two neighboring accumulator blocks (16 rows x 8 columns each) are one A operand of 16 rows x 16. */
template <typename T>
__device__ __forceinline__ void flash_pack_a(uint32_t (&a)[4], const float *left, const float *right) {
    a[0] = flash_pack<T>(left[0], left[1]);
    a[1] = flash_pack<T>(left[2], left[3]);
    a[2] = flash_pack<T>(right[0], right[1]);
    a[3] = flash_pack<T>(right[2], right[3]);
}

/* The maximum and the sum over the four lanes that hold a row. */
__device__ __forceinline__ float flash_quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 2));
}

__device__ __forceinline__ float flash_quad_sum(float x) {
    x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
    return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
}

/* A row's lse in base 2; +inf where the row has no keys, so that every weight of it is 0. */
__device__ __forceinline__ float flash_row_lse2(const FlashParams &p, int64_t head, int i) {
    float lse = p.lse[head * p.Tq + i];
    return lse == -FLASH_INF ? FLASH_INF : lse * FLASH_LOG2E;
}

/* The products of 8 pairs, summed. */
template <typename T>
__device__ __forceinline__ float flash_dot8(uint4 x, uint4 y) {
    const uint32_t *a = &x.x, *b = &y.x;
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < 4; w++) {
        float2 u = flash_unpack<T>(a[w]), v = flash_unpack<T>(b[w]);
        sum += u.x * v.x + u.y * v.y;
    }
    return sum;
}

/* A kernel's element type and kind, as a value that a generic lambda can be called with. */
template <typename T, FlashKind KIND>
struct FlashVariant {
    using Type = T;
    static constexpr FlashKind kind = KIND;
};

/* Calls launch with the FlashVariant that serves the call. */
template <typename Launch>
Status flash_dispatch(const AttentionCall *call, Launch launch) {
    const bool bf16 = call->dtype == DTYPE_BF16;
    if (call->dropout > 0.0)
        return bf16 ? launch(FlashVariant<__nv_bfloat16, FLASH_DROPOUT>())
                    : launch(FlashVariant<__half, FLASH_DROPOUT>());
    if (call->ranges)
        return bf16 ? launch(FlashVariant<__nv_bfloat16, FLASH_RANGES>())
                    : launch(FlashVariant<__half, FLASH_RANGES>());
    return bf16 ? launch(FlashVariant<__nv_bfloat16, FLASH_PLAIN>()) : launch(FlashVariant<__half, FLASH_PLAIN>());
}

/* Why neither family can serve the call, or NULL. */
const char *flash_common_refuses(const AttentionCall *call);

/* Fills the parameters; the workspace is read in the backward direction alone. Fails on misaligned pointers. */
Status flash_params(const AttentionCall *call, const AttentionArgs *args, bool backward, FlashParams *out);

/* Bytes of lse2 and delta. */
size_t flash_rows_workspace(const AttentionCall *call);

/* lse2 = lse * log2(e), +inf for a query without keys and for padding (so that every weight there is 0), and
 * delta = rowsum(dout * out), 0 for padding. */
Status flash_rows(const AttentionCall *call, const FlashParams &params, cudaStream_t stream);
