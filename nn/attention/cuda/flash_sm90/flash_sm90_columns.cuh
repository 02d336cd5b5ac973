/* The weights and their gradients in a tile whose rows are keys and whose columns are queries, for
 * the kernels that iterate over queries: lse2 and delta of the columns are in shared memory.
 * `rows`: the address of the value for the lane's first column. */
#pragma once

#include "nn/attention/cuda/flash_sm90/flash_sm90.cuh"

struct ColumnMaps {
    CUtensorMap k, v, q, dout, dk, dv, lse2, delta;
};

/* Tiles of 64 keys, and of `queries` queries. */
static inline Status flash_column_maps(ColumnMaps *maps, const AttentionCall *call,
                                       const FlashParams &p, int queries) {
    TRY(flash_map(&maps->k, p.k, call, call->k, call->Tk, call->NH_kv, 64));
    TRY(flash_map(&maps->v, p.v, call, call->v, call->Tk, call->NH_kv, 64));
    TRY(flash_map(&maps->q, p.q, call, call->q, call->Tq, call->NH, queries));
    TRY(flash_map(&maps->dout, p.dout, call, call->out, call->Tq, call->NH, queries));
    TRY(flash_map(&maps->dk, p.dk, call, call->k, call->Tk, call->NH_kv, 64));
    TRY(flash_map(&maps->dv, p.dv, call, call->v, call->Tk, call->NH_kv, 64));
    TRY(flash_row_map(&maps->lse2, p.lse2, p, queries));
    return flash_row_map(&maps->delta, p.delta, p, queries);
}

/* The two adjacent values that a lane's columns 8 n, 8 n + 1 need. */
__device__ __forceinline__ float2 load_pair(uint32_t address) {
    float2 pair;
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(pair.x), "=f"(pair.y) : "r"(address));
    return pair;
}

/* Turns scores into packed weights: exp2(scale2 s - lse2). Of PARTS parts of the columns, one. */
template <typename T, int N, int PARTS = 1>
__device__ __forceinline__ void weigh_columns(uint32_t (&w)[N / 16][4], float (&s)[N / 2],
                                              float scale2, uint32_t rows, int part = 0) {
#pragma unroll
    for (int at = 0; at < N / 8 / PARTS; at++) {
        const int n = part * (N / 8 / PARTS) + at;
        const float2 lse2 = load_pair(rows + n * 32);
        s[4 * n] = flash_exp2(s[4 * n] * scale2 - lse2.x);
        s[4 * n + 1] = flash_exp2(s[4 * n + 1] * scale2 - lse2.y);
        s[4 * n + 2] = flash_exp2(s[4 * n + 2] * scale2 - lse2.x);
        s[4 * n + 3] = flash_exp2(s[4 * n + 3] * scale2 - lse2.y);
    }
#pragma unroll
    for (int at = 0; at < N / 16 / PARTS; at++) {
        const int k = part * (N / 16 / PARTS) + at;
        flash_pack_a<T>(w[k], &s[8 * k], &s[8 * k + 4]);
        pin(w[k]);
    }
}

/* dS = P (dP - delta), packed; uses P as rounded for dV, which saves the registers of the unrounded
 * P. */
template <typename T, int N>
__device__ __forceinline__ void differentiate_columns(uint32_t (&ds)[N / 16][4], float (&dp)[N / 2],
                                                      const uint32_t (&w)[N / 16][4],
                                                      uint32_t rows) {
#pragma unroll
    for (int n = 0; n < N / 8; n++) {
        const float2 delta = load_pair(rows + n * 32);
        const float2 low = flash_unpack<T>(w[n / 2][n % 2 * 2]),
                     high = flash_unpack<T>(w[n / 2][n % 2 * 2 + 1]);
        dp[4 * n] = low.x * (dp[4 * n] - delta.x);
        dp[4 * n + 1] = low.y * (dp[4 * n + 1] - delta.y);
        dp[4 * n + 2] = high.x * (dp[4 * n + 2] - delta.x);
        dp[4 * n + 3] = high.y * (dp[4 * n + 3] - delta.y);
    }
    pack_weights<T, N>(ds, dp);
}
