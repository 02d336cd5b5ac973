/* The online softmax of a warpgroup's tile of scores, in registers. Source: arXiv:2307.08691,
 * algorithm 1. */
#pragma once

#include "nn/attention/cuda/common/flash_common.cuh"

/* Online softmax of the two rows that a lane shares: maxima of the unscaled scores, sums of the
 * weights. */
struct RowState {
    float maximum[2] = {-FLASH_INF, -FLASH_INF}, sum[2] = {0.0f, 0.0f},
          correction[2] = {0.0f, 0.0f};
};

/* The maxima of the two rows that a lane shares, seen and new. Nonnegative floats are ordered like
 * integers, for which one instruction computes the maximum of three: half the instructions. A warp
 * with a row of negative scores only, whose integer maximum is negative as well, takes the other
 * branch. A NaN may be ignored here, because its weight is NaN anyway. */
template <int KEYS, bool INTEGERS>
__device__ __forceinline__ void row_maxima(const float (&s)[KEYS / 2], const float (&seen)[2],
                                           float (&maximum)[2]) {
    if constexpr (INTEGERS) {
        int fast[2] = {__float_as_int(seen[0]), __float_as_int(seen[1])};
#pragma unroll
        for (int i = 0; i < KEYS / 2; i += 2)
            fast[i / 2 % 2] =
                __vimax3_s32(fast[i / 2 % 2], __float_as_int(s[i]), __float_as_int(s[i + 1]));
#pragma unroll
        for (int r = 0; r < 2; r++) {
            fast[r] = max(fast[r], __shfl_xor_sync(0xFFFFFFFFu, fast[r], 1));
            fast[r] = max(fast[r], __shfl_xor_sync(0xFFFFFFFFu, fast[r], 2));
            maximum[r] = __int_as_float(fast[r]);
        }
        if (!__any_sync(0xFFFFFFFFu, (fast[0] | fast[1]) < 0)) return;
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        maximum[r] = seen[r];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
            maximum[r] = fmaxf(maximum[r], fmaxf(s[4 * n + 2 * r], s[4 * n + 2 * r + 1]));
        maximum[r] = flash_quad_max(maximum[r]);
    }
}

/* Turns scores into weights relative to the rows' new maxima. The correction is exactly 1 if a
 * maximum does not change (without the selection the pass is also 3% slower); exp2 of the rounding
 * error of its product would accumulate with every tile. The error of the base is the same in every
 * weight and in their sum; they are lost only if it is beyond 2^+-126 (scores of 2^27 and more):
 * see is_lost. */
template <int KEYS, bool INTEGERS>
__device__ __forceinline__ void weigh_scores(float (&s)[KEYS / 2], float scale2, RowState &state) {
    float maximum[2];
    row_maxima<KEYS, INTEGERS>(s, state.maximum, maximum);
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = 0.0f;
        const float base = maximum[r] == -FLASH_INF ? 0.0f : maximum[r] * scale2;
        state.correction[r] =
            state.maximum[r] == maximum[r] ? 1.0f : flash_exp2(state.maximum[r] * scale2 - base);
        state.maximum[r] = maximum[r];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int e = 2 * r; e < 2 * r + 2; e++) {
                s[4 * n + e] = flash_exp2(s[4 * n + e] * scale2 - base);
                sum += s[4 * n + e];
            }
        state.sum[r] = state.sum[r] * state.correction[r] + sum;
    }
}

template <int HS>
__device__ __forceinline__ void rescale(float (&out)[HS / 2], const RowState &state) {
#pragma unroll
    for (int n = 0; n < HS / 2; n++) out[n] *= state.correction[n / 2 % 2];
}

/* Whether weigh_scores is inaccurate for a row with this maximum; flash_again.cuh then recomputes
 * the row. */
__device__ __forceinline__ bool is_lost(const FlashParams &p, float maximum) {
    return fabsf(maximum) * p.abs_scale2 > 0x1p26f && maximum != -FLASH_INF;
}
