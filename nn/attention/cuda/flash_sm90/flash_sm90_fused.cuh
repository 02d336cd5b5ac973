/* The shapes of the fused backward pass, its sequence of tiles and the turns of its blocks:
 * flash_sm90_fused.cu explains them. */
#pragma once

#include "nn/attention/cuda/flash_sm90/flash_sm90_columns.cuh"

/* From this many tiles of queries on, all blocks go upwards. */
enum { FUSED_LONG = 128 };

/* The queries of a tile. */
template <int HS>
constexpr int FUSED_QUERIES = FLASH_FUSED_TILE / HS;

/* Two warpgroups of 64 keys each, which iterate over QUERIES queries at a time, and a third for
 * copies. LATE: dQ of a tile is computed a tile later, and one warpgroup starts half a tile behind
 * the other. */
template <int HS_>
struct FusedShape {
    static constexpr int HS = HS_, QUERIES = FUSED_QUERIES<HS>, STAGES = 2;
    static constexpr bool LATE = HS == 64;
    static constexpr int GROUPS = 2, KEYS = 64 * GROUPS, THREADS = 128 * (GROUPS + 1);
    static constexpr int TILE = Tile<HS>::bytes(QUERIES), OWN = Tile<HS>::bytes(64);
    /* dS: a tile of KEYS rows whose columns are queries. One more than are read while a tile is
     * computed, so that a wait for the other warpgroup's tile also protects the next one. */
    static constexpr int BUFFERS = LATE ? 3 : 2;
    using Gradients = Tile<64>;
    static constexpr int DS_CHUNK = Gradients::bytes(KEYS), DS = DS_CHUNK * QUERIES / 64;
    /* A warpgroup's part of dQ: 64 queries x 64 columns of f32. */
    static constexpr int SUM = 64 * 64 * 4, SUM_ROWS = SUM / 4 / FLASH_SUM_ROW;
    static_assert(QUERIES * HS * 4 == GROUPS * SUM, "each warpgroup computes half of dQ");
    static constexpr int AT_K = 0, AT_V = GROUPS * OWN, AT_Q = 2 * AT_V,
                         AT_DOUT = AT_Q + STAGES * TILE, AT_DS = AT_DOUT + STAGES * TILE,
                         AT_SUM = AT_DS + BUFFERS * DS, AT_LSE = AT_SUM + GROUPS * SUM,
                         AT_DELTA = AT_LSE + STAGES * QUERIES * 4,
                         CONTROL = AT_DELTA + STAGES * QUERIES * 4;
    using Tiles = Ring<STAGES, 4 * GROUPS>;
    /* K, V; Q; dO; for each group: dQ is in shared memory, and it has been read. */
    static constexpr int BYTES = CONTROL + 16 + 2 * Tiles::CONTROL_BYTES + 16 * GROUPS;
    static_assert(BYTES <= 232448, "a block's shared memory");
};

/* The keys of a block and its direction, from the order in which blocks start; flash_sm90_fused.cu
 * explains it. A pair: a head of keys of a batch. */
struct FusedPlan {
    int pair, rank; /* rank: 0 for the block of the pair that starts first */
    bool up;

    __device__ __forceinline__ FusedPlan(int block, int pairs, int blocks, bool all_up) {
        constexpr int TOGETHER = 8;
        const int down = all_up ? 0 : pairs - min(TOGETHER, (pairs + 1) / 2);
        up = block >= down * blocks;
        const int from = up ? down : 0, to = up ? pairs : down;
        const int first = from + (block - from * blocks) / (TOGETHER * blocks) * TOGETHER;
        const int count = min(TOGETHER, to - first), at = block - first * blocks;
        pair = first + at % count, rank = at / count;
    }
};

/* Tensor copies add to dq's sums: unlike others, they confuse no race checker (see Ring). */
struct FusedMaps {
    ColumnMaps columns;
    CUtensorMap sums;
};

/* A block's sequence of tiles; at each tile, the query heads of the group in turn. Upwards: from
 * the last query down, after the blocks of the keys before. Downwards: from the first query, after
 * the blocks of the keys behind. */
template <typename S>
struct FusedWalk {
    int begin, end, heads, key, head, batch; /* the first key; its head */
    bool up;

    struct Place {
        Cursor<S::STAGES> c;
        int head, tile; /* the head in the group */
        __device__ __forceinline__ int query() const { return tile * S::QUERIES; }
    };

    __device__ __forceinline__ explicit FusedWalk(const FlashParams &p) : heads(p.group) {
        const int blocks = (p.Tk + S::KEYS - 1) / S::KEYS;
        const bool all_up = p.group > 1 || p.Tq >= FUSED_LONG * S::QUERIES;
        const FusedPlan plan(blockIdx.x, p.B * p.NH_kv, blocks, all_up);
        int first, last, unused;
        batch = plan.pair / p.NH_kv, head = plan.pair % p.NH_kv, up = plan.up;
        key = (up ? plan.rank : blocks - 1 - plan.rank) * S::KEYS;
        flash_queries_of<FLASH_PLAIN>(p, batch, key, first, unused);
        flash_queries_of<FLASH_PLAIN>(p, batch, key + S::KEYS - 1, unused, last);
        begin = first / S::QUERIES;
        end = last < first ? begin : last / S::QUERIES + 1;
    }

    __device__ __forceinline__ Place start() const { return {{}, 0, up ? end - 1 : begin}; }
    __device__ __forceinline__ bool within(const Place &at) const {
        return at.tile >= begin && at.tile < end;
    }
    __device__ __forceinline__ void advance(Place &at) const {
        at.c.advance();
        if (++at.head < heads) return;
        at.head = 0, at.tile += up ? -1 : 1;
    }

    /* The number of blocks that add to the tile before this one. */
    __device__ __forceinline__ int turn(const FlashParams &p, const Place &at) const {
        int first, last;
        const int query = up ? at.query() : min(at.query() + S::QUERIES, p.Tq) - 1;
        flash_keys_of<FLASH_PLAIN>(p, batch, query, first, last);
        return up ? key / S::KEYS - first / S::KEYS : last / S::KEYS - key / S::KEYS;
    }
};

/* The barriers of a block in shared memory. */
template <typename S>
struct FusedBarriers {
    uint32_t control;

    __device__ __forceinline__ uint32_t k() const { return control; }
    __device__ __forceinline__ uint32_t v() const { return control + 8; }
    __device__ __forceinline__ typename S::Tiles q() const { return {control + 16}; }
    __device__ __forceinline__ typename S::Tiles dout() const {
        return {control + 16 + S::Tiles::CONTROL_BYTES};
    }
    __device__ __forceinline__ uint32_t sum_full(int group) const {
        return control + 16 + 2 * S::Tiles::CONTROL_BYTES + 16 * group;
    }
    __device__ __forceinline__ uint32_t sum_read(int group) const { return sum_full(group) + 8; }

    /* Called by one thread, before a __syncthreads. */
    __device__ __forceinline__ void create() const {
        barrier_create(k(), 1), barrier_create(v(), 1);
        q().create(), dout().create();
        for (int group = 0; group < S::GROUPS; group++)
            barrier_create(sum_full(group), 4), barrier_create(sum_read(group), 1);
        barriers_publish();
    }
};

/* Waits until `turn` blocks have added to a tile of dQ. What they added is then visible to the copy
 * engine. */
__device__ __forceinline__ void wait_turn(const int *turns, int turn) {
    int done;
    do asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(done) : "l"(turns) : "memory");
    while (done != turn);
    asm volatile("fence.proxy.async.global;" ::: "memory");
}

/* After stores_arrived(). */
__device__ __forceinline__ void give_turn(int *turns) {
    asm volatile("fence.proxy.async.global;" ::: "memory");
    asm volatile("red.release.gpu.global.add.s32 [%0], 1;" ::"l"(turns) : "memory");
}

template <typename T, int HS_>
struct FusedVariant {
    using Type = T;
    static constexpr int HS = HS_;
};

/* Calls launch with the FusedVariant for a call that flash_is_fused accepts. */
template <typename Launch>
Status fused_dispatch(const AttentionCall *call, Launch launch) {
    const bool narrow = flash_width(call->HS) == 64;
    if (call->dtype == DTYPE_BF16)
        return narrow ? launch(FusedVariant<__nv_bfloat16, 64>())
                      : launch(FusedVariant<__nv_bfloat16, 128>());
    return narrow ? launch(FusedVariant<__half, 64>()) : launch(FusedVariant<__half, 128>());
}
