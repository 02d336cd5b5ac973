/* Recomputes rows with a NaN, one visible pair of query and key at a time.
 *
 * A tile's products include hidden pairs with weight 0, and 0 times NaN is NaN: a NaN in a hidden
 * key, query or gradient would leak into rows that must not see it. A check of every tile would be
 * too slow. But a leak always leaves a NaN in the result, so each warp checks only the rows that it
 * is about to write. NaNs are rare; a warp that finds one recomputes its rows from visible pairs
 * only. A visible NaN reappears.
 *
 * One warp per row: 32 scores in parallel, one per lane; then the sums over them, in which each
 * lane takes every 32nd element. This takes about 20 times as long as the tiles. The sm_80 kernels
 * call it, which costs no registers; the sm_90a kernels set marks for a separate launch
 * (flash_sm90_again.cu), because a call makes the compiler wait for every product. */
#pragma once

#include "core/cuda/cuda_common.cuh"
#include "nn/attention/cuda/common/flash_dropout.cuh"

/* Calls make(row) for every row in which a lane of the warp has found a NaN. */
template <typename Make>
__device__ __forceinline__ void flash_again(bool found, int row, Make make) {
    uint32_t lanes = __ballot_sync(0xFFFFFFFFu, found);
    while (lanes != 0) {
        const int at = __shfl_sync(0xFFFFFFFFu, row, __ffs((int)lanes) - 1);
        make(at);
        __syncwarp();
        lanes &= ~__ballot_sync(0xFFFFFFFFu, row == at);
    }
}

/* One head of tensors of type T, with rows of HS elements. */
template <typename T, bool DROPOUT>
struct PairHead {
    static constexpr int D = 8; /* HS up to 256, over 32 lanes */
    const FlashParams &p;
    int HS, b, h; /* h: the query head */

    __device__ __forceinline__ const T *row(const void *x, HeadLayout l, int head, int t) const {
        return (const T *)x + b * l.batch + head * l.head + t * l.token;
    }
    __device__ __forceinline__ const T *q(int i) const { return row(p.q, p.lq, h, i); }
    __device__ __forceinline__ const T *k(int j) const { return row(p.k, p.lk, h / p.group, j); }
    __device__ __forceinline__ const T *v(int j) const { return row(p.v, p.lv, h / p.group, j); }
    __device__ __forceinline__ const T *dout(int i) const { return row(p.dout, p.lo, h, i); }
    __device__ __forceinline__ int64_t head() const { return (int64_t)b * p.NH + h; }

    __device__ __forceinline__ float dot(const T *x, const T *y) const {
        float sum = 0.0f;
#pragma unroll 4
        for (int d = 0; d < HS; d++) sum = fmaf(to_float(x[d]), to_float(y[d]), sum);
        return sum;
    }

    /* sum += weight x, for this lane's elements. */
    __device__ __forceinline__ void add(float (&sum)[D], float weight, const T *x) const {
#pragma unroll
        for (int n = 0; n < D; n++) {
            const int d = threadIdx.x % 32 + 32 * n;
            if (d < HS) sum[n] = fmaf(weight, to_float(x[d]), sum[n]);
        }
    }

    /* The factor that dropout applies to the weight of a pair. */
    __device__ __forceinline__ float kept(int i, int j) const {
        if constexpr (!DROPOUT) return 1.0f;
        const uint64_t head = (uint64_t)((p.step->first_sample + b) * p.NH + h);
        const uint64_t index = (head * (uint64_t)p.Tq + (uint64_t)i) * (uint64_t)p.Tk + (uint64_t)j;
        const Philox words = philox(p.step->seed, index / 4, rng_counter(p.step->step, p.stream));
        const uint32_t at = (uint32_t)index % 4;
        const uint32_t word = at & 2 ? (at & 1 ? words.word[3] : words.word[2])
                                     : (at & 1 ? words.word[1] : words.word[0]);
        return word < p.threshold ? 0.0f : p.keep_scale;
    }

    /* Sums out for query i, which sees keys [first, last]; returns the factor for the sums. Stores
     * lse and stats. */
    __device__ __forceinline__ float out(float (&sum)[D], int i, int first, int last) const {
        float maximum = -FLASH_INF, total = 0.0f;
        for (int key = first; key <= last; key += 32) {
            const int j = key + threadIdx.x % 32;
            const float s = j <= last ? p.sign * dot(q(i), k(j)) : -FLASH_INF;
            const float top = fmaxf(maximum, warp_max(s)), shift = top == -FLASH_INF ? 0.0f : top;
            const float correction =
                maximum == -FLASH_INF ? 0.0f : flash_exp2((maximum - shift) * p.abs_scale2);
            const float weight = flash_exp2((s - shift) * p.abs_scale2),
                        dropped = j <= last ? weight * kept(i, j) : 0.0f;
            total = total * correction + weight, maximum = top;
            if (__any_sync(0xFFFFFFFFu, total != total)) return FLASH_NAN;
#pragma unroll
            for (int n = 0; n < D; n++) sum[n] *= correction;
            for (int n = 0; n < min(32, last - key + 1); n++)
                add(sum, __shfl_sync(0xFFFFFFFFu, dropped, n), v(key + n));
        }
        total = warp_sum(total);
        if (p.lse != nullptr && threadIdx.x % 32 == 0)
            flash_keep(p, head(), i, maximum, log2f(total), last < first);
        return flash_inverse(total, last < first);
    }

    /* The weight of a pair, the gradient of its score, and the weight after dropout. */
    __device__ __forceinline__ void pair(int i, int j, float &dropped, float &ds) const {
        const float lse2 = flash_row_lse2(p, head(), i), delta = p.delta[head() * p.Tq_pad + i];
        const float weight = flash_weight(p, head(), i, dot(q(i), k(j)), lse2), factor = kept(i, j);
        const float dp = dot(dout(i), v(j));
        dropped = weight * factor;
        ds = weight * ((factor == 0.0f ? 0.0f : dp * factor) - delta);
    }

    /* dq of query i, before the scale. */
    __device__ __forceinline__ void dq(float (&sum)[D], int i, int first, int last) const {
        for (int key = first; key <= last; key += 32) {
            const int j = key + threadIdx.x % 32;
            float unused, ds = 0.0f;
            if (j <= last) pair(i, j, unused, ds);
            for (int n = 0; n < min(32, last - key + 1); n++)
                add(sum, __shfl_sync(0xFFFFFFFFu, ds, n), k(key + n));
            if (__any_sync(0xFFFFFFFFu, ds != ds)) return; /* so is every sum */
        }
    }

    /* Adds this query head's contribution to dk (before the scale) and dv of key j, which queries
     * [first, last] see. */
    __device__ __forceinline__ void dkdv(float (&dk)[D], float (&dv)[D], int j, int first,
                                         int last) const {
        for (int query = first; query <= last; query += 32) {
            const int i = query + threadIdx.x % 32;
            float dropped = 0.0f, ds = 0.0f;
            if (i <= last) pair(i, j, dropped, ds);
            for (int n = 0; n < min(32, last - query + 1); n++) {
                add(dk, __shfl_sync(0xFFFFFFFFu, ds, n), q(query + n));
                add(dv, __shfl_sync(0xFFFFFFFFu, dropped, n), dout(query + n));
            }
            if (__any_sync(0xFFFFFFFFu, dropped != dropped)) return;
        }
    }
};

/* Writes this lane's elements [from, end) of a row. */
template <typename T, int D>
__device__ __forceinline__ void put_row(T *to, const float (&sum)[D], float factor, int from,
                                        int end) {
#pragma unroll
    for (int n = 0; n < D; n++) {
        const int d = threadIdx.x % 32 + 32 * n;
        if (d >= from && d < end) to[d] = from_float<T>(sum[n] * factor);
    }
}

/* Recomputes row i of out; called by a whole warp. */
template <typename T, bool DROPOUT>
__device__ __noinline__ void call_out(const FlashParams &p, int HS, int b, int h, int i, int first,
                                      int last, T *to) {
    float sum[PairHead<T, DROPOUT>::D] = {};
    const float factor = PairHead<T, DROPOUT>{p, HS, b, h}.out(sum, i, first, last);
    put_row(to, sum, factor, 0, HS);
}

/* The same for row i of dq. */
template <typename T, bool DROPOUT>
__device__ __noinline__ void call_dq(const FlashParams &p, int HS, int b, int h, int i, int first,
                                     int last, T *to) {
    float sum[PairHead<T, DROPOUT>::D] = {};
    PairHead<T, DROPOUT>{p, HS, b, h}.dq(sum, i, first, last);
    put_row(to, sum, p.scale, 0, HS);
}

/* The same for elements [from, end) of row j of dk or dv, of key head kv. */
template <typename T, bool DROPOUT>
__device__ __noinline__ void call_dkdv(const FlashParams &p, int HS, int b, int kv, int j,
                                       int first, int last, bool of_k, T *to, int from, int end) {
    float dk[PairHead<T, DROPOUT>::D] = {}, dv[PairHead<T, DROPOUT>::D] = {};
    for (int h = kv * p.group; h < (kv + 1) * p.group; h++)
        PairHead<T, DROPOUT>{p, HS, b, h}.dkdv(dk, dv, j, first, last);
    if (of_k)
        put_row(to, dk, p.scale, from, min(end, HS));
    else
        put_row(to, dv, 1.0f, from, min(end, HS));
}
