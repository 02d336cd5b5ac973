/* Code shared by the two forward kernels for Hopper: their shapes, and one warpgroup's loop over
 * its key tiles. flash_sm90_forward.cu explains the kernels and their shapes. */
#pragma once

#include "nn/attention/cuda/flash_sm90/flash_sm90.cuh"
#include "nn/attention/cuda/flash_sm90/flash_sm90_keys.cuh"
#include "nn/attention/cuda/flash_sm90/flash_sm90_softmax.cuh"

struct ForwardMaps {
    CUtensorMap q, k, v, out;
};

/* GROUPS warpgroups of 64 queries each, which iterate over KEYS keys at a time, with STAGES of K
 * and of V in flight. BLOCKS of these share a multiprocessor. */
template <int HS_, int GROUPS_, int KEYS_, int STAGES_, int BLOCKS_, bool AHEAD_ = false>
struct ForwardShape {
    static constexpr int HS = HS_, GROUPS = GROUPS_, KEYS = KEYS_, STAGES = STAGES_,
                         BLOCKS = BLOCKS_;
    static constexpr bool AHEAD = AHEAD_; /* the next scores are computed during this softmax */
    static constexpr bool INTEGERS =
        HS == 64; /* saves 3% there, but costs 2% if registers are scarce */
    static constexpr int ROWS = 64 * GROUPS, THREADS = 128 * GROUPS, TILE = Tile<HS>::bytes(KEYS);
    static constexpr int Q = 0, K = Tile<HS>::bytes(ROWS), V = K + STAGES * TILE,
                         CONTROL = V + STAGES * TILE;
    using Tiles = Ring<STAGES, 4 * GROUPS>;
    static constexpr int BOUNDS = CONTROL + 16 + 2 * Tiles::CONTROL_BYTES;
    static constexpr int BYTES = BOUNDS + ROWS * (int)sizeof(int2);
};

/* The work of one warpgroup: its 64 rows against every key tile of the block. `tiles` provides the
 * tile numbers, from end - 1 down to begin, the rings k() and v(), and the release and refill of a
 * stage: release_k(cursor, tile), release_v(cursor, tile). */
template <typename T, typename S, FlashKind KIND, typename Tiles>
struct ForwardGroup {
    const FlashParams &p;
    const Tiles &tiles;
    uint32_t q, k, v; /* descriptors; of stage 0 */
    RowKeys<KIND> keys;
    int row, head; /* this lane's upper row in the group; the query head */

    /* Offset: the first key of the tile that is needed. */
    template <int N>
    __device__ __forceinline__ void start_qk(float (&s)[N / 2], const Cursor<S::STAGES> &c,
                                             int offset) const {
        tiles.k().wait(c.stage, c.parity);
        const uint32_t tile = k + (uint32_t)(c.stage * S::TILE >> 4);
        start_scores<T, S::HS, S::KEYS, N>(s, q, Tile<S::HS>::rows_at(tile, offset / 16));
    }

    template <int N>
    __device__ __forceinline__ void start_pv(float (&out)[S::HS / 2],
                                             const uint32_t (&w)[N / 16][4],
                                             const Cursor<S::STAGES> &c, int offset) const {
        tiles.v().wait(c.stage, c.parity);
        const uint32_t tile = v + (uint32_t)(c.stage * S::TILE >> 4);
        start_weighted<T, S::HS, N>(out, w, Tile<S::HS>::rows_at(tile, offset / 16));
    }

    __device__ __forceinline__ void skip(const Cursor<S::STAGES> &c, int tile) const {
        tiles.k().wait(c.stage, c.parity), tiles.release_k(c, tile / S::KEYS);
        tiles.v().wait(c.stage, c.parity), tiles.release_v(c, tile / S::KEYS);
    }

    template <int N>
    __device__ __forceinline__ void weigh(float (&s)[N / 2], RowState &state, int key) const {
        const int2 all = keys.common();
        if (key < all.x || key + N - 1 > all.y) {
            const int column = key + (int)threadIdx.x % 4 * 2;
#pragma unroll
            for (int r = 0; r < 2; r++) {
                const int2 seen = keys.of(row + 8 * r);
                mask_row<N, KIND>(s, r, seen.x - column, seen.y - column);
            }
        }
        weigh_scores<N, S::INTEGERS>(s, p.scale2, state);
    }

    template <int N>
    __device__ __forceinline__ void drop(float (&s)[N / 2], const FlashKept<N> &kept) const {
#pragma unroll
        for (int i = 0; i < N / 2; i++) s[i] = kept(i / 4, i / 2 % 2, i % 2) ? s[i] : 0.0f;
    }

    /* Keys [offset, offset + N) of the tile that starts at key `tile`. */
    template <int N>
    __device__ __forceinline__ void step(float (&out)[S::HS / 2], RowState &state,
                                         const Cursor<S::STAGES> &c, int tile, int offset) const {
        const int key = tile + offset;
        float s[N / 2];
        uint32_t w[N / 16][4];
        FlashKept<N> kept;
        start_qk<N>(s, c, offset);
        if constexpr (KIND == FLASH_DROPOUT)
            FlashDropout(p, tiles.batch, head).along_keys<N>(kept, keys.group_row + row, key);
        group_wait<0>(s);
        weigh<N>(s, state, key);
        if constexpr (KIND == FLASH_DROPOUT) drop<N>(s, kept);
        rescale<S::HS>(out, state);
        pack_weights<T, N>(w, s);
        start_pv<N>(out, w, c, offset);
        tiles.release_k(c, tile / S::KEYS);
        group_wait<0>(out);
        tiles.release_v(c, tile / S::KEYS);
    }

    /* One tile after another: other warpgroups fill the tensor cores meanwhile. Half a tile may
     * suffice on the diagonal, and at the start of ranges (the other half). */
    __device__ __forceinline__ void walk(float (&out)[S::HS / 2], RowState &state,
                                         Cursor<S::STAGES> &c) const {
        constexpr int HALF = S::KEYS / 2;
        for (int n = tiles.end - 1; n >= tiles.begin; n--, c.advance()) {
            const int key = n * S::KEYS;
            const int2 some = keys.any();
            const bool upper = KIND != FLASH_PLAIN && key + HALF <= some.x;
            if (key > some.y || key + S::KEYS <= some.x)
                skip(c, key);
            else if (upper || key + HALF > some.y)
                step<HALF>(out, state, c, key, upper ? HALF : 0);
            else
                step<S::KEYS>(out, state, c, key, 0);
        }
    }

    /* The two warpgroups of a block take turns in starting products, so that the softmax of one
     * overlaps the products of the other. Both call this equally often. */
    __device__ __forceinline__ void take_turn() const {
        asm volatile("bar.sync %0, 256;" ::"r"(4 + threadIdx.x / 128) : "memory");
    }

    __device__ __forceinline__ void give_turn() const {
        asm volatile("bar.arrive %0, 256;" ::"r"(5 - threadIdx.x / 128) : "memory");
    }

    /* The scores of the next tile are computed while this tile's weights are. */
    __device__ __forceinline__ void walk_ahead(float (&out)[S::HS / 2], RowState &state,
                                               Cursor<S::STAGES> &c) const {
        constexpr int N = S::KEYS;
        float s[N / 2];
        uint32_t w[N / 16][4];
        int n = tiles.end - 1;
        if (n < tiles.begin) return;
        start_qk<N>(s, c, 0);
        group_wait<0>(s);
        tiles.release_k(c, n);
        weigh<N>(s, state, n * N);
        pack_weights<T, N>(w, s);
        if (threadIdx.x >= 128 && n > tiles.begin) give_turn();
        for (; n > tiles.begin; n--) {
            Cursor<S::STAGES> next = c;
            next.advance();
            take_turn();
            start_qk<N>(s, next, 0);
            start_pv<N>(out, w, c, 0);
            if (threadIdx.x < 128 || n > tiles.begin + 1) give_turn();
            group_wait<1>(s);
            tiles.release_k(next, n - 1);
            weigh<N>(s, state, (n - 1) * N);
            group_wait<0>(out);
            tiles.release_v(c, n);
            rescale<S::HS>(out, state);
            pack_weights<T, N>(w, s);
            c = next;
        }
        start_pv<N>(out, w, c, 0);
        group_wait<0>(out);
        tiles.release_v(c, n);
    }
};

/* Whether the row at `row` of the group sees no key; called if its sum is 0. */
template <FlashKind KIND>
__device__ __forceinline__ bool is_blind(const RowKeys<KIND> &keys, int row) {
    const int2 seen = keys.of(row);
    return seen.y < seen.x;
}

/* Whether a row needs none of the special cases: it sees a key, and neither its scores nor its lse
 * are large. false for NaN. */
__device__ __forceinline__ bool is_ordinary(const FlashParams &p, const RowState &state, int r) {
    return state.sum[r] > 0.0f && fabsf(state.maximum[r]) <= 0.5f * p.limit;
}

/* Completes the rows' sums and the factors for out. The special cases are behind one branch: next
 * to it they cost 2% of the forward pass. */
template <FlashKind KIND>
__device__ __forceinline__ void finish_rows(const FlashParams &p, const RowKeys<KIND> &keys,
                                            int row, RowState &state, float (&factor)[2]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        state.sum[r] = flash_quad_sum(state.sum[r]);
        factor[r] = __fdividef(1.0f, state.sum[r]);
    }
    if (__all_sync(0xFFFFFFFFu, is_ordinary(p, state, 0) && is_ordinary(p, state, 1))) return;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const float sum = state.sum[r];
        factor[r] = is_lost(p, state.maximum[r])
                        ? FLASH_NAN
                        : flash_inverse(sum, sum == 0.0f && is_blind(keys, row + 8 * r));
    }
}

/* Stores the rows' lse while out is being written, which takes longer. `row` is relative to
 * `group_row`, the group's first row. */
template <FlashKind KIND>
__device__ __forceinline__ void keep_rows(const FlashParams &p, int64_t head,
                                          const RowKeys<KIND> &keys, int group_row, int row,
                                          const RowState &state) {
    if (p.lse == nullptr || threadIdx.x % 4 != 0) return;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int i = group_row + row + 8 * r;
        const float sum = state.sum[r], maximum = state.maximum[r],
                    log2_sum = flash_exact_log2(p, maximum, __log2f(sum));
        if (i >= p.Tq) continue;
        if (is_ordinary(p, state, r))
            p.lse[head * p.Tq + i] = flash_lse(p, maximum, log2_sum);
        else
            flash_keep(p, head, i, maximum, log2_sum, sum == 0.0f && is_blind(keys, row + 8 * r));
    }
}

/* Where a group stores which of its rows are lost. */
__device__ __forceinline__ int *lost_of(const FlashParams &p, int b, int h, int group_row) {
    return p.lost + (((int64_t)b * p.NH + h) * p.Tq_pad + group_row) / 16;
}

static inline Status flash_forward_maps(ForwardMaps *maps, const AttentionCall *call,
                                        const FlashParams &p, int keys) {
    TRY(flash_map(&maps->q, p.q, call, call->q, call->Tq, call->NH, 64));
    TRY(flash_map(&maps->k, p.k, call, call->k, call->Tk, call->NH_kv, keys));
    TRY(flash_map(&maps->v, p.v, call, call->v, call->Tk, call->NH_kv, keys));
    return flash_map(&maps->out, p.out, call, call->out, call->Tq, call->NH, 64);
}
