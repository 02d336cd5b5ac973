/* What the flash kernels of every generation share: the parameters a kernel is launched with, the mask as intervals,
 * packing to 16 bits, and the row sums that open the backward pass. */
#pragma once

#include "core/rng.h"
#include "nn/attention/flash_cuda.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

constexpr float FLASH_LOG2E = 1.4426950408889634f;
constexpr float FLASH_LN2 = 0.6931471805599453f;
constexpr float FLASH_INF = __builtin_huge_valf();
constexpr int FLASH_ROW_PAD = 128; /* rows of the workspace are padded to this, so that tiles read them unchecked */

struct FlashParams {
    const void *q, *k, *v, *dout;
    void *out, *dq, *dk, *dv;
    float *lse;
    float *lse2, *delta; /* workspace: lse in base 2, and rowsum(dout * out); (B * NH, Tq_pad) each */
    const StepState *step;
    HeadLayout lq, lk, lv, lo;
    int B, NH, NH_kv, group, Tq, Tk, Tq_pad;
    int causal, diagonal, window; /* key j of query i is allowed where i + diagonal - window < j <= i + diagonal */
    float scale, scale2;          /* scale2 = scale * log2(e): exponentials are taken in base 2 */
    float keep_scale;             /* dropout: 1 / (1 - p) */
    uint32_t threshold, stream;
};

/* The keys [first, last] that query i may see; empty where last < first. */
__device__ __forceinline__ void flash_keys_of(const FlashParams &p, int i, int &first, int &last) {
    last = p.causal ? min(i + p.diagonal, p.Tk - 1) : p.Tk - 1;
    first = p.window ? max(i + p.diagonal - p.window + 1, 0) : 0;
}

/* The queries [first, last] that may see key j. */
__device__ __forceinline__ void flash_queries_of(const FlashParams &p, int j, int &first, int &last) {
    first = p.causal ? max(j - p.diagonal, 0) : 0;
    last = p.window ? min(j - p.diagonal + p.window - 1, p.Tq - 1) : p.Tq - 1;
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

/* Why neither family can serve the call, or NULL. */
const char *flash_common_refuses(const AttentionCall *call);

/* Fills the parameters; the workspace is read in the backward direction alone. Fails on misaligned pointers. */
Status flash_params(const AttentionCall *call, const AttentionArgs *args, bool backward, FlashParams *out);

/* Bytes of lse2 and delta. */
size_t flash_rows_workspace(const AttentionCall *call);

/* lse2 = lse * log2(e), +inf for a query without keys and for padding (so that every weight there is 0), and
 * delta = rowsum(dout * out), 0 for padding. */
Status flash_rows(const AttentionCall *call, const FlashParams &params, cudaStream_t stream);

/* The last launch's error as a Status. */
Status flash_launched(const char *kernel);
