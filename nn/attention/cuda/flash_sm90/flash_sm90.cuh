/* Building blocks of the Hopper flash kernels, over those of core/cuda/sm90/tiles.cuh: loads and
 * stores of tiles, the two kinds of products, masks. */
#pragma once

#include "core/cuda/sm90/dependent_launch.cuh"
#include "core/cuda/sm90/tiles.cuh"
#include "nn/attention/cuda/common/flash_common.cuh"
#include "nn/attention/cuda/common/flash_dropout.cuh"
#include "nn/attention/cuda/flash_sm90/flash_sm90.h"

/* Starts the copy of one tile (the map's box has its rows); absent rows become zeros. */
template <int HS, int ROWS>
__device__ __forceinline__ void load_tile(uint32_t shared, const CUtensorMap &map, uint32_t barrier,
                                          int token, int head, int batch) {
#pragma unroll
    for (int c = 0; c < Tile<HS>::CHUNKS; c++)
        copy_box(shared + c * ROWS * Tile<HS>::ROW_BYTES, map, barrier, c * Tile<HS>::COLUMNS,
                 token, head, batch);
}

/* Writes a warpgroup's 64 x HS accumulators, times a factor per row, through a shared tile that is
 * no longer read; skips rows that do not exist. Sets lost[warp of the group] if its 16 rows contain
 * a NaN or an infinity, for flash_sm90_again.cu. WAIT: waits until the tile has been read;
 * otherwise thread 0 of the group must. */
template <typename T, int HS, bool WAIT = true>
__device__ __forceinline__ void
store_tile(uint32_t shared, const CUtensorMap &map, int group, const float (&acc)[HS / 2],
           float factor_low, float factor_high, int token, int head, int batch, int *lost) {
    const int thread = threadIdx.x % 128, row = thread / 32 * 16 + thread % 32 / 4,
              column = thread % 4 * 2;
    uint32_t looks[4] = {0, 0, 0, 0}; /* four, so that none waits for the previous one */
    group_sync(group);
#pragma unroll
    for (int n = 0; n < HS / 8; n++) {
        const uint32_t low = flash_pack<T>(acc[4 * n] * factor_low, acc[4 * n + 1] * factor_low);
        const uint32_t high =
            flash_pack<T>(acc[4 * n + 2] * factor_high, acc[4 * n + 3] * factor_high);
        const uint32_t at_low = shared + Tile<HS>::offset(64, row, n * 8 + column);
        const uint32_t at_high = shared + Tile<HS>::offset(64, row + 8, n * 8 + column);
        asm volatile("st.shared.b32 [%0], %1;" ::"r"(at_low), "r"(low) : "memory");
        asm volatile("st.shared.b32 [%0], %1;" ::"r"(at_high), "r"(high) : "memory");
        flash_look<T>(looks[n % 2 * 2], low), flash_look<T>(looks[n % 2 * 2 + 1], high);
    }
    publish_shared();
    group_sync(group);
    if (thread == 0) {
#pragma unroll
        for (int c = 0; c < Tile<HS>::CHUNKS; c++)
            store_box(map, shared + c * 64 * Tile<HS>::ROW_BYTES, c * Tile<HS>::COLUMNS, token,
                      head, batch);
        stores_commit();
    }
    __syncwarp();
    bool found = false;
#pragma unroll
    for (int n = 0; n < 4; n++) found |= flash_has_nan<T>(looks[n]);
    const bool is_lost = __any_sync(0xFFFFFFFFu, found);
    if (thread % 32 == 0) lost[thread / 32] = is_lost;
    if (WAIT && thread == 0) stores_read();
}

/* d (64 x N) = A Bt over HS columns: A is a tile of 64 rows, B the first N rows of one of ROWS.
 * Starts and commits. */
template <typename T, int HS, int ROWS, int N>
__device__ __forceinline__ void start_scores(float (&d)[N / 2], uint32_t a, uint32_t b) {
    group_fence(d);
#pragma unroll
    for (int k = 0; k < HS / 16; k++)
        wgmma_shared<T, N, Tile<HS>::HIGH>(d, Tile<HS>::columns_at(a, 64, k),
                                           Tile<HS>::columns_at(b, ROWS, k), k > 0);
    group_commit();
}

/* d (64 x HS) += P B over the first N rows of tile B; P is in registers. Starts and commits. */
template <typename T, int HS, int N>
__device__ __forceinline__ void start_weighted(float (&d)[HS / 2], const uint32_t (&p)[N / 16][4],
                                               uint32_t b) {
    group_fence(d);
#pragma unroll
    for (int k = 0; k < N / 16; k++)
        wgmma_registers<T, HS, Tile<HS>::HIGH>(d, p[k], Tile<HS>::rows_at(b, k));
    group_commit();
}

template <typename T, int N>
__device__ __forceinline__ void pack_weights(uint32_t (&p)[N / 16][4], const float (&s)[N / 2]) {
#pragma unroll
    for (int k = 0; k < N / 16; k++) {
        flash_pack_a<T>(p[k], &s[8 * k], &s[8 * k + 4]);
        pin(p[k]);
    }
}

/* The number of a lane's elements of a row in its columns below x; elements 8 n and 8 n + 1 for
 * every n. */
__device__ __forceinline__ int elements_below(int x) {
    x = max(x, 0);
    return x / 8 * 2 + min(x % 8, 2);
}

/* Sets scores outside [first, last] to -inf, in low or high row r of the lane, with columns
 * relative to the lane's first. The mask of at most 32 elements of the row is one word of bits,
 * which takes 1.3 instructions per element; the plain kind, which masks only the diagonal and would
 * spill, takes three. */
template <int N, FlashKind KIND>
__device__ __forceinline__ void mask_row(float (&s)[N / 2], int r, int first, int last) {
    static_assert(N <= 128, "one word of bits");
    uint32_t seen = 0;
    if constexpr (KIND != FLASH_PLAIN) {
        const int below = elements_below(first), count = max(elements_below(last + 1) - below, 0);
        asm volatile("bmsk.clamp.b32 %0, %1, %2;" : "=r"(seen) : "r"(below), "r"(count));
    }
#pragma unroll
    for (int n = 0; n < N / 8; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const bool out = KIND == FLASH_PLAIN ? n * 8 + e < first || n * 8 + e > last
                                                 : !(seen >> (2 * n + e) & 1);
            if (out) s[4 * n + 2 * r + e] = -FLASH_INF;
        }
}

/* A tensor map over one of the call's tensors (column, token, head, batch) with boxes of `rows`
 * tokens. */
Status flash_map(CUtensorMap *map, const void *pointer, const AttentionCall *call,
                 HeadLayout layout, int64_t tokens, int64_t heads, int rows);

/* A tensor map over lse2 or delta (token, head of a batch) with boxes of `count` tokens of a
 * head. */
Status flash_row_map(CUtensorMap *map, const float *values, const FlashParams &params, int count);

/* A tensor map over dq's sums as a matrix of FLASH_SUM_ROW columns, with boxes of `rows`. */
Status flash_sums_map(CUtensorMap *map, const AttentionCall *call, const FlashParams &params,
                      int rows);

/* The forward direction under ranges at HS 64, without dropout. */
template <typename T>
Status flash_sm90_items(const AttentionCall *call, const FlashParams &params, cudaStream_t stream);

/* Recomputes the rows that a pass has marked as lost: flash_sm90_again.cu. */
Status flash_sm90_again_forward(const AttentionCall *call, const FlashParams &params,
                                cudaStream_t stream);
Status flash_sm90_again_backward(const AttentionCall *call, const FlashParams &params,
                                 cudaStream_t stream);

/* The backward direction in two passes: dq, which also computes lse2 and delta, then dk and dv. */
Status flash_sm90_dq(const AttentionCall *call, const FlashParams &params, cudaStream_t stream);
Status flash_sm90_dkdv(const AttentionCall *call, const FlashParams &params, cudaStream_t stream);

/* The same for calls that flash_is_fused accepts, in this order: lse2 and delta; dk, dv and dq's
 * sums; dq. */
Status flash_sm90_rows(const AttentionCall *call, const FlashParams &params, cudaStream_t stream);
Status flash_sm90_fused(const AttentionCall *call, const FlashParams &params, cudaStream_t stream);
Status flash_sm90_dq_of_sums(const AttentionCall *call, const FlashParams &params,
                             cudaStream_t stream);
