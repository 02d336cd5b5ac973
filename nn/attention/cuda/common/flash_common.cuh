/* Code shared by the flash kernels of all generations: the launch parameters, the mask as
 * intervals, packing to 16 bits, and the row sums at the start of the backward pass.
 *
 * Kernels are compiled for each FlashKind, so a call pays only for the features that it uses: the
 * plain kind computes its intervals, the others read the ranges (two words per row, from L1 after
 * the first tile). */
#pragma once

#include "core/cuda/cuda_common.cuh"
#include "core/rng.h"
#include "nn/attention/cuda/common/flash_cuda.h"
#include "nn/attention/cuda/common/tiled.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

constexpr float FLASH_LOG2E = 1.4426950408889634f;
constexpr float FLASH_LN2 = 0.6931471805599453f;
constexpr float FLASH_INF = __builtin_huge_valf();
constexpr float FLASH_NAN = __builtin_nanf("");

/* Beyond this value, in base 2, half a unit in the last place of an f32 causes an error of more
 * than 2e-5 in every weight. Forward then subtracts the row's maximum from the scores before it
 * scales them, which gives exactly 0 for equal scores, and backward computes the weights from the
 * row's stats. */
constexpr float FLASH_LIMIT = 512.0f, FLASH_LSE_LIMIT = FLASH_LIMIT * FLASH_LN2;

enum FlashKind {
    FLASH_PLAIN,   /* the mask depends only on the call */
    FLASH_RANGES,  /* narrowed by ranges */
    FLASH_DROPOUT, /* dropout, with or without ranges */
};

struct FlashParams {
    const void *q, *k, *v, *dout;
    void *out, *dq, *dk, *dv;
    float *lse, *stats;
    /* Workspace: lse in base 2, and rowsum(dout * out); (B * NH, Tq_pad) each. */
    float *lse2, *delta;
    /* Workspace on sm_90: a flag per 16 rows, (B * NH, Tq_pad / 16): one of them has a large lse,
     * or a NaN in out or dq; (B * NH_kv, Tk_pad / 16): a NaN in dk or dv. */
    int *large, *lost, *lost_k, *lost_v;
    /* Workspace of the fused backward pass: dq before the scale, (B * NH, Tq_pad, HS) in an order
     * of its own, and the number of blocks that have added to each tile of it. */
    float *dq_sums;
    int *turns;
    /* (2, B, Tq), (2, B, Tk), or NULL: first and end of each row */
    const int32_t *key_ranges, *query_ranges;
    const StepState *step;
    HeadLayout lq, lk, lv, lo;
    int B, NH, NH_kv, group, HS, Tq, Tk, Tq_pad, Tk_pad;
    int causal, diagonal,
        window; /* key j of query i is allowed where i + diagonal - window < j <= i + diagonal */
    float scale, scale2;    /* scale2 = scale * log2(e), not 0: exponentials are taken in base 2 */
    float sign, abs_scale2; /* of scale2 */
    float limit;            /* of scores that are not large, before they are scaled */
    float keep_scale;       /* dropout: 1 / (1 - p) */
    uint32_t threshold, stream;
};

/* Narrows [first, last] to row b's ranges for token i of T. Tiles may extend past the end. */
template <FlashKind KIND>
__device__ __forceinline__ void flash_narrow(const FlashParams &p, const int32_t *ranges, int T,
                                             int b, int i, int &first, int &last) {
    if (KIND == FLASH_PLAIN || (KIND == FLASH_DROPOUT && ranges == nullptr)) return;
    const int32_t *at = ranges + (int64_t)b * T + min(i, T - 1);
    first = max(first, __ldg(at));
    last = min(last, __ldg(at + (int64_t)p.B * T) - 1);
}

/* The keys [first, last] that query i of row b sees; empty if last < first. Neither bound falls as
 * i rises. */
template <FlashKind KIND>
__device__ __forceinline__ void flash_keys_of(const FlashParams &p, int b, int i, int &first,
                                              int &last) {
    last = p.causal ? min(i + p.diagonal, p.Tk - 1) : p.Tk - 1;
    first = p.window ? max(i + p.diagonal - p.window + 1, 0) : 0;
    flash_narrow<KIND>(p, p.key_ranges, p.Tq, b, i, first, last);
}

/* The queries [first, last] that see key j of row b. */
template <FlashKind KIND>
__device__ __forceinline__ void flash_queries_of(const FlashParams &p, int b, int j, int &first,
                                                 int &last) {
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

/* Two neighboring accumulator blocks (16 rows x 8 columns each) are one A operand of 16 rows x
 * 16. */
template <typename T>
__device__ __forceinline__ void flash_pack_a(uint32_t (&a)[4], const float *left,
                                             const float *right) {
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

/* The online softmax of a row: its weights are exp2(scale2 (s - shift) - base), scale2 > 0, for
 * unscaled scores. */
struct FlashBase {
    float shift, base,
        correction; /* correction: the factor for weights relative to the previous maximum */
};

__device__ __forceinline__ bool flash_is_large(const FlashParams &p, float maximum) {
    return fabsf(maximum) > p.limit && maximum != -FLASH_INF;
}

/* For a row whose maximum is not large. The products are rounded before the subtraction, so the
 * correction is exactly 1 if the maximum does not change, and the error of the base is the same for
 * every weight of the row. */
__device__ __forceinline__ FlashBase flash_base(float scale2, float before, float maximum) {
    FlashBase b = {0.0f, maximum == -FLASH_INF ? 0.0f : __fmul_rn(maximum, scale2), 0.0f};
    b.correction = flash_exp2(__fmul_rn(before, scale2) - b.base);
    return b;
}

/* For the rows of a warp in which one maximum is large. */
__device__ __forceinline__ FlashBase flash_base_large(const FlashParams &p, float scale2,
                                                      float before, float maximum) {
    FlashBase b = flash_base(scale2, before, maximum);
    const bool now = flash_is_large(p, maximum);
    if (now) b.shift = maximum, b.base = 0.0f;
    if (now || flash_is_large(p, before)) b.correction = flash_exp2((before - maximum) * scale2);
    return b;
}

/* The factor for a row's sums: one over the sum of its weights; 0 if it sees no key; NaN if the
 * scores of all visible keys are -inf. */
__device__ __forceinline__ float flash_inverse(float sum, bool is_blind) {
    return sum == 0.0f ? (is_blind ? 0.0f : FLASH_NAN) : 1.0f / sum;
}

/* Converts the log of a row's sum of weights from the rounded maximum of flash_base to the exact
 * maximum. */
__device__ __forceinline__ float flash_exact_log2(const FlashParams &p, float maximum,
                                                  float log2_sum) {
    if (maximum == -FLASH_INF) return log2_sum;
    return log2_sum - fmaf(maximum, p.abs_scale2, -__fmul_rn(maximum, p.abs_scale2));
}

/* As above, for a sum of flash_base_large. */
__device__ __forceinline__ float flash_log2_of(const FlashParams &p, float maximum, float sum) {
    return flash_is_large(p, maximum) ? log2f(sum) : flash_exact_log2(p, maximum, log2f(sum));
}

/* The lse of a row whose largest unscaled score is `maximum`, negated for a negative scale;
 * log2_sum: of the weights relative to it. */
__device__ __forceinline__ float flash_lse(const FlashParams &p, float maximum, float log2_sum) {
    return fmaf(log2_sum, FLASH_LN2, maximum * fabsf(p.scale));
}

/* Stores the results of a row's softmax: lse, and the stats if lse is large. The arguments are
 * those of flash_lse. */
__device__ __forceinline__ void flash_keep(const FlashParams &p, int64_t head, int i, float maximum,
                                           float log2_sum, bool is_blind) {
    const int64_t at = head * p.Tq + i, rows = (int64_t)p.B * p.NH * p.Tq;
    float lse = flash_lse(p, maximum, log2_sum);
    if (maximum == -FLASH_INF && log2_sum == -FLASH_INF) lse = is_blind ? -FLASH_INF : FLASH_NAN;
    if (fabsf(lse) > FLASH_LSE_LIMIT && maximum != -FLASH_INF) {
        lse = fmaxf(lse, -3.4028235e38f); /* -inf is a row without keys */
        if (p.stats != nullptr) {
            p.stats[at] = p.sign * maximum;
            p.stats[rows + at] = log2_sum;
        }
    }
    p.lse[at] = lse;
}

/* A row's lse in base 2; +inf for a row without keys, so that its weights are 0; -inf if lse is
 * large, so that callers compute weights with flash_weight. */
__device__ __forceinline__ float flash_row_lse2(const FlashParams &p, int64_t head, int i) {
    const float lse = p.lse[head * p.Tq + i];
    return lse == -FLASH_INF              ? FLASH_INF
           : fabsf(lse) > FLASH_LSE_LIMIT ? -FLASH_INF
                                          : lse * FLASH_LOG2E;
}

/* The weight of unscaled score s in row i with flash_row_lse2 = lse2. */
__device__ __forceinline__ float flash_weight(const FlashParams &p, int64_t head, int i, float s,
                                              float lse2) {
    if (lse2 != -FLASH_INF) return flash_exp2(s * p.scale2 - lse2);
    const int64_t at = head * p.Tq + i, rows = (int64_t)p.B * p.NH * p.Tq;
    return flash_exp2((s - p.stats[at]) * p.scale2 - p.stats[rows + at]);
}

/* The same in two steps: returns the value to subtract from row i's scores before the scale if lse2
 * marks a large lse; sets lse2 to the value to subtract after it. */
__device__ __forceinline__ float flash_shift(const FlashParams &p, int64_t head, int i,
                                             float &lse2) {
    if (lse2 != -FLASH_INF) return 0.0f;
    const int64_t at = head * p.Tq + i, rows = (int64_t)p.B * p.NH * p.Tq;
    lse2 = p.stats[rows + at];
    return p.stats[at];
}

/* Each half of x, initially 0, becomes NaN if that half of `word` is infinite or NaN: computes 0
 * word + x, at the full rate. */
template <typename T>
__device__ __forceinline__ void flash_look(uint32_t &x, uint32_t word);
template <>
__device__ __forceinline__ void flash_look<__nv_bfloat16>(uint32_t &x, uint32_t word) {
    asm("fma.rn.bf16x2 %0, %1, %2, %0;" : "+r"(x) : "r"(word), "r"(0));
}

template <>
__device__ __forceinline__ void flash_look<__half>(uint32_t &x, uint32_t word) {
    asm("fma.rn.f16x2 %0, %1, %2, %0;" : "+r"(x) : "r"(word), "r"(0));
}

/* Whether one of the two halves is NaN. */
template <typename T>
__device__ __forceinline__ bool flash_has_nan(uint32_t word) {
    const float2 pair = flash_unpack<T>(word);
    return pair.x != pair.x || pair.y != pair.y;
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

/* Calls launch with the FlashVariant for the call. */
template <typename Launch>
Status flash_dispatch(const AttentionCall *call, Launch launch) {
    const bool bf16 = call->dtype == DTYPE_BF16;
    if (call->dropout > 0.0)
        return bf16 ? launch(FlashVariant<__nv_bfloat16, FLASH_DROPOUT>())
                    : launch(FlashVariant<__half, FLASH_DROPOUT>());
    if (call->ranges)
        return bf16 ? launch(FlashVariant<__nv_bfloat16, FLASH_RANGES>())
                    : launch(FlashVariant<__half, FLASH_RANGES>());
    return bf16 ? launch(FlashVariant<__nv_bfloat16, FLASH_PLAIN>())
                : launch(FlashVariant<__half, FLASH_PLAIN>());
}

/* Fills the parameters except those of sm_90's workspace. Fails on misaligned pointers. */
Status flash_params(const AttentionCall *call, const AttentionArgs *args, bool backward,
                    FlashParams *out);

/* The scale in base 2; 0 becomes the nearest nonzero number, so that -inf times the scale stays
 * -inf. */
inline void flash_scales(FlashParams *p, float scale) {
    p->scale = scale, p->scale2 = scale == 0.0f ? 1.1754944e-38f : scale * FLASH_LOG2E;
    p->sign = p->scale2 < 0.0f ? -1.0f : 1.0f, p->abs_scale2 = p->sign * p->scale2;
    p->limit = FLASH_LIMIT / p->abs_scale2;
}

/* lse2 by flash_row_lse2, +inf for padding (so that its weights are 0), and delta = rowsum(dout *
 * out), 0 for padding. */
Status flash_rows(const AttentionCall *call, const FlashParams &params, cudaStream_t stream);
