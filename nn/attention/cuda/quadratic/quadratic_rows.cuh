/* A row of the weights that baseline and math on CUDA keep: its mask, its scores and its
 * dropout. */
#pragma once

#include "core/cuda/cuda_common.cuh"
#include "core/rng.h"
#include "core/step.h"
#include "nn/attention/sdpa.h"

/* The description of a row of the weights: its query, mask, and position in the random stream. */
struct RowParams {
    AttentionCall call;
    const StepState *step;
    const int32_t *ranges; /* key_ranges, or NULL */
    const void *bias;
    float factor;     /* of the scores before softmax; of the gradient after it */
    const float *lse; /* for the slope of the softcap */
};

/* The visible keys of a row (b, h, i), and the start of its bias. Packs of W outside of them are
 * not read. */
struct RowMask {
    int first, end; /* rows of 2^31 weights would not fit in memory */
    int64_t bias;

    template <int W>
    __device__ __forceinline__ int start() const {
        return first / (32 * W) * (32 * W) + (int)threadIdx.x % 32 * W;
    }

    template <int W>
    __device__ __forceinline__ bool touches(int j) const {
        return j < end && j + W > first;
    }
};

static __device__ __forceinline__ RowMask mask_at(const RowParams &p, int64_t b, int64_t h,
                                                  int64_t i) {
    const AttentionCall &call = p.call;
    int64_t last = call.causal == CAUSAL_NONE         ? call.Tk
                   : call.causal == CAUSAL_UPPER_LEFT ? i + 1
                                                      : i + 1 + call.Tk - call.Tq;
    RowMask mask = {0, (int)(last < 0 ? 0 : last > call.Tk ? call.Tk : last), 0};
    if (call.causal != CAUSAL_NONE && call.window > 0 && last > call.window)
        mask.first = (int)(last - call.window);
    if (p.ranges != NULL) {
        mask.first = max(mask.first, p.ranges[b * call.Tq + i]);
        mask.end = min(mask.end, p.ranges[(call.B + b) * call.Tq + i]);
    }
    if (mask.first > mask.end) mask.first = mask.end;
    mask.bias = b * call.bias_layout.batch + h * call.bias_layout.head + i * call.bias_layout.token;
    return mask;
}

static __device__ __forceinline__ RowMask mask_of(const RowParams &p, int64_t row) {
    const AttentionCall &call = p.call;
    return mask_at(p, row / call.Tq / call.NH, row / call.Tq % call.NH, row % call.Tq);
}

/* Whether key j is hidden, by a bias as well: 0 in a boolean one, -inf in an additive one. */
static __device__ __forceinline__ bool is_hidden(const RowParams &p, const RowMask &mask, int j) {
    if (j < mask.first || j >= mask.end) return true;
    if (p.call.bias == BIAS_BOOLEAN) return ((const uint8_t *)p.bias)[mask.bias + j] == 0;
    return p.call.bias == BIAS_ADDITIVE && ((const float *)p.bias)[mask.bias + j] == -INFINITY;
}

/* Whether all keys are hidden; called by a whole warp. */
static __device__ __forceinline__ bool is_blind(const RowParams &p, const RowMask &mask) {
    bool seen = false;
    for (int j = mask.first + (int)threadIdx.x % 32; j < mask.end && !seen; j += 32)
        seen = !is_hidden(p, mask, j);
    return !__any_sync(0xFFFFFFFFu, seen);
}

/* x, or 0 if it is a NaN caused by a hidden key. */
static __device__ __forceinline__ float seen_of(const RowParams &p, const RowMask &mask, int j,
                                                float x) {
    return isnan(x) && is_hidden(p, mask, j) ? 0.0f : x;
}

/* The scaled and masked score of key j. */
template <int BIAS>
static __device__ __forceinline__ float score_of(const RowParams &p, const RowMask &mask, int j,
                                                 float product) {
    if (j < mask.first || j >= mask.end) return -INFINITY;
    if (BIAS == BIAS_BOOLEAN && ((const uint8_t *)p.bias)[mask.bias + j] == 0) return -INFINITY;
    float score = product * p.factor, cap = (float)p.call.softcap,
          bias = BIAS == BIAS_ADDITIVE ? ((const float *)p.bias)[mask.bias + j] : 0.0f;
    if (cap > 0) score = cap * tanhf(score / cap);
    return bias == -INFINITY ? bias : BIAS == BIAS_ADDITIVE ? score + bias : score;
}

/* The derivative of the softcap at the score of key j, which its weight and lse determine; 1
 * without a softcap, and for a weight of 0. */
static __device__ __forceinline__ float slope_of(const RowParams &p, const RowMask &mask,
                                                 int64_t row, int j, float weight) {
    if (p.call.softcap <= 0 || weight == 0) return 1.0f;
    float score = logf(weight) + p.lse[row];
    if (p.call.bias == BIAS_ADDITIVE) score -= ((const float *)p.bias)[mask.bias + j];
    float t = score / (float)p.call.softcap;
    return fmaxf(1.0f - t * t, 0.0f);
}

/* x *= mask / (1 - p) for W weights of a row (b, h, i) from key j on; dropout_cpu.h defines the
 * numbering. */
template <int W>
static __device__ __forceinline__ void dropout_pack(const RowParams &p, int64_t row, int64_t j,
                                                    float (&x)[W]) {
    uint64_t first_row = (uint64_t)p.step->first_sample * (uint64_t)(p.call.NH * p.call.Tq);
    uint64_t index = (first_row + (uint64_t)row) * (uint64_t)p.call.Tk + (uint64_t)j;
    uint64_t counter = rng_counter(p.step->step, p.call.stream);
    uint32_t threshold = rng_threshold(p.call.dropout);
    float scale = (float)(1 / (1 - p.call.dropout));
#pragma unroll
    for (int k = 0; k < W; k++) {
        Philox words = philox(p.step->seed, (index + k) / 4, counter);
        x[k] *= words.word[(index + k) % 4] < threshold ? 0.0f : scale;
    }
}
