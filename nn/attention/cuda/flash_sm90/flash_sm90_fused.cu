/* Flash attention backward for Hopper (sm_90a) in one pass of five products, where two passes
 * (flash_sm90_dq.cu, flash_sm90_dkdv.cu) take seven.
 *
 * A block owns 128 keys and iterates over the queries that see them. Each of two warpgroups has 64
 * keys: St = K Qt and dPt = V dOt, then dV += Pt dO and dK += dSt Q with P and dS in registers. dS
 * also goes to shared memory, with keys in rows, over which the product of dQ contracts: each
 * warpgroup computes half of the tile's dQ = dS K over all 128 keys. A third warpgroup, which gives
 * its registers to the others, copies: one thread loads; one adds dQ in f32 to sums in global
 * memory, in the order of accumulators, which needs no swizzle. flash_sm90_fused_ends.cu computes
 * lse2 and delta before, and dq from the sums after. Source: arXiv:2407.08608, section 3, and
 * algorithm 2 of 2307.08691.
 *
 * At HS 64 (LATE) dQ of a tile is computed a tile later, when the other warpgroup has long stored
 * its dS, and one warpgroup starts half a tile behind the other, so that one's exponentials fall
 * together with the other's products. At HS 128 dQ in the same tile is 4% faster. dV starts after
 * half of the weights; the next scores are computed while dQ is handed over. Registers, of 240: S,
 * dP, dK, dV at HS 64 (tiles of 128 queries) 64 + 64 + 32 + 32 or S, dQ and packed dS 64 + 32 + 32
 * + 64; at HS 128 (64 queries) 32 + 32 + 64 + 64 or 32 + 32 + 16 + 128. A tile takes 2560 cycles of
 * tensor core, 3072 of shared memory and 1024 (HS 128: 512) of exponentials, by count.
 *
 * Turns: the sums must not depend on timing, so blocks add to a tile in the order in which they
 * start, each after the one before has arrived (about 2 us, less than a tile takes): measured, 1%
 * to 4% of the time. Two directions. Downwards, the blocks of a head start with the last keys,
 * whose sequences are the shortest under a causal mask, and each begins at its diagonal: blocks
 * that start together are at different tiles in every step, and one that starts later comes later
 * everywhere, so it never waits. But the longest blocks come last, and the last of all would leave
 * most multiprocessors idle, so the last heads go upwards: the longest blocks first, each from the
 * last query down to its diagonal, where a block waits at first if it starts together with the one
 * before. Those waits keep the blocks of a head within a few tiles of each other, and so the tiles
 * that they share in the L2 cache. That is worth more where a block takes many tiles: all heads go
 * upwards in long sequences (8% faster at 16,16384,64), and where several query heads share a key
 * head (25% at 32/8,8192,128), whose tiles alternate for the same reason.
 *
 * Why this cannot deadlock: a block waits only for blocks of its head that precede it in the grid.
 * A GPU starts blocks in the order of the grid, so these have started, and they keep their
 * multiprocessor until they have ended. The first block of the grid that has not ended waits for
 * nobody. */
#include "nn/attention/cuda/flash_sm90/flash_sm90_fused.cuh"

/* The copies of a block, each sequence by one thread. */
template <typename S>
struct FusedBlock {
    const FlashParams &p;
    const FusedMaps &maps;
    uint32_t shared;
    FusedBarriers<S> barriers;
    FusedWalk<S> walk;

    using Place = typename FusedWalk<S>::Place;

    __device__ __forceinline__ int query_head(const Place &at) const {
        return walk.head * p.group + at.head;
    }

    __device__ __forceinline__ void load_keys(int offset, const CUtensorMap &map,
                                              uint32_t full) const {
        barrier_expect(full, S::GROUPS * S::OWN);
        for (int g = 0; g < S::GROUPS; g++)
            load_tile<S::HS, 64>(shared + offset + g * S::OWN, map, full, walk.key + 64 * g,
                                 walk.head, walk.batch);
    }

    /* A tile of Q or dO, with the numbers that belong to its rows. */
    __device__ __forceinline__ void load_queries(const typename S::Tiles &ring, int tiles,
                                                 const CUtensorMap &map, int rows,
                                                 const CUtensorMap &row_map,
                                                 const Place &at) const {
        const int stage = at.c.stage, h = query_head(at);
        const uint32_t full = ring.full(stage);
        ring.wait_released(stage, at.c.parity);
        barrier_expect(full, S::TILE + S::QUERIES * 4);
        load_tile<S::HS, S::QUERIES>(shared + tiles + stage * S::TILE, map, full, at.query(), h,
                                     walk.batch);
        copy_row(shared + rows + stage * S::QUERIES * 4, row_map, full, at.query(),
                 walk.batch * p.NH + h);
    }

    /* Every copy into shared memory, in the order of use. */
    __device__ __forceinline__ void load() const {
        Place at = walk.start();
        if (!walk.within(at)) return;
        load_keys(S::AT_K, maps.columns.k, barriers.k());
        for (; walk.within(at); walk.advance(at)) {
            load_queries(barriers.q(), S::AT_Q, maps.columns.q, S::AT_LSE, maps.columns.lse2, at);
            if (at.c.at == 0) load_keys(S::AT_V, maps.columns.v, barriers.v());
            load_queries(barriers.dout(), S::AT_DOUT, maps.columns.dout, S::AT_DELTA,
                         maps.columns.delta, at);
        }
    }

    /* Adds each tile of dQ to the sums in its turn; the first block stores, so that nothing must be
     * cleared. */
    __device__ __forceinline__ void add() const {
        for (Place at = walk.start(); walk.within(at); walk.advance(at)) {
            const int64_t h = (int64_t)walk.batch * p.NH + query_head(at);
            int *turns = p.turns + h * (p.Tq_pad / S::QUERIES) + at.tile;
            const int row = (int)((h * p.Tq_pad + at.query()) * S::HS / FLASH_SUM_ROW);
            const int turn = walk.turn(p, at);
            if (turn > 0) wait_turn(turns, turn);
            for (int g = 0; g < S::GROUPS; g++) {
                barrier_wait(barriers.sum_full(g), at.c.at & 1);
                const uint32_t sum = shared + S::AT_SUM + g * S::SUM;
                if (turn > 0)
                    add_rows(maps.sums, sum, 0, row + g * S::SUM_ROWS);
                else
                    store_rows(maps.sums, sum, 0, row + g * S::SUM_ROWS);
                stores_commit();
            }
            stores_read<1>();
            barrier_arrive(barriers.sum_read(0));
            stores_read<0>();
            barrier_arrive(barriers.sum_read(1));
            stores_arrived();
            give_turn(turns);
        }
    }
};

/* The work of one of the two warpgroups: its 64 keys. */
template <typename T, typename S>
struct FusedGroup {
    static constexpr int HS = S::HS, N = S::QUERIES;
    using Place = typename FusedWalk<S>::Place;
    const FusedBlock<S> &block;
    int group, row;          /* this lane's upper key */
    int first_all, last_all; /* queries that see every key of the group */
    uint32_t k, v, q, dout;  /* descriptors; q and dout of stage 0 */
    uint32_t right, left;    /* of the product of dQ: K, and dS in the first buffer */
    uint32_t ds;             /* where this lane stores dS in the first buffer */

    __device__ __forceinline__ FusedGroup(const FusedBlock<S> &of) : block(of) {
        const int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16;
        group = group_of_thread(), row = of.walk.key + warp_row + lane / 4;
        const uint32_t own = of.shared + group * S::OWN, buffer = of.shared + S::AT_DS;
        const uint32_t half = HS == 64 ? 0 : group * Tile<HS>::ROW_BYTES * 64;
        const uint32_t chunk = HS == 64 ? group * S::DS_CHUNK : 0;
        k = Tile<HS>::descriptor(own + S::AT_K, 64), v = Tile<HS>::descriptor(own + S::AT_V, 64);
        q = Tile<HS>::descriptor(of.shared + S::AT_Q, N);
        dout = Tile<HS>::descriptor(of.shared + S::AT_DOUT, N);
        right = Tile<HS>::descriptor(of.shared + S::AT_K + half, 64);
        left = S::Gradients::descriptor(buffer + chunk, S::KEYS);
        ds = buffer + S::Gradients::offset(S::KEYS, warp_row + lane % 16, lane / 16 * 8);
        const int from = of.walk.key + group * 64;
        int unused;
        flash_queries_of<FLASH_PLAIN>(of.p, of.walk.batch, from, unused, last_all);
        flash_queries_of<FLASH_PLAIN>(of.p, of.walk.batch, from + 63, first_all, unused);
        if (from + 63 >= of.p.Tk) last_all = -1; /* keys that do not exist are masked */
    }

    __device__ __forceinline__ uint32_t stage(const Place &at) const {
        return (uint32_t)(at.c.stage * S::TILE >> 4);
    }

    __device__ __forceinline__ void start_s(float (&s)[N / 2], const Place &at) const {
        block.barriers.q().wait(at.c.stage, at.c.parity);
        start_scores<T, HS, N, N>(s, k, q + stage(at));
    }

    __device__ __forceinline__ void start_dp(float (&dp)[N / 2], const Place &at) const {
        block.barriers.dout().wait(at.c.stage, at.c.parity);
        start_scores<T, HS, N, N>(dp, v, dout + stage(at));
    }

    __device__ __forceinline__ void mask(float (&s)[N / 2], int query) const {
        if (query >= first_all && query + N - 1 <= last_all) return;
        const int column = query + (int)threadIdx.x % 4 * 2;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            int first, last;
            flash_queries_of<FLASH_PLAIN>(block.p, block.walk.batch, row + 8 * r, first, last);
            if (row + 8 * r >= block.p.Tk) last = -1;
            mask_row<N, FLASH_PLAIN>(s, r, first - column, last - column);
        }
    }

    /* The address of the numbers of this lane's first query. */
    __device__ __forceinline__ uint32_t rows(int offset, const Place &at) const {
        return block.shared + offset + at.c.stage * N * 4 + threadIdx.x % 4 * 8;
    }

    /* The weights, and the start of dV += P dO. */
    __device__ __forceinline__ void weigh(float (&dv)[HS / 2], uint32_t (&w)[N / 16][4],
                                          float (&s)[N / 2], const Place &at) const {
        constexpr int PARTS = 2, STEPS = N / 16 / PARTS;
        mask(s, at.query());
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            weigh_columns<T, N, PARTS>(w, s, block.p.scale2, rows(S::AT_LSE, at), part);
            group_fence(dv);
#pragma unroll
            for (int n = part * STEPS; n < (part + 1) * STEPS; n++)
                wgmma_registers<T, HS, Tile<HS>::HIGH>(dv, w[n],
                                                       Tile<HS>::rows_at(dout + stage(at), n));
        }
        group_commit();
    }

    /* dS into shared memory: 16 queries further flip two bits of the swizzled address. */
    __device__ __forceinline__ void store_ds(const uint32_t (&packed)[N / 16][4],
                                             const Place &at) const {
        const uint32_t to = ds + at.c.at % S::BUFFERS * S::DS;
#pragma unroll
        for (int n = 0; n < N / 16; n++)
            store_operand((to ^ (uint32_t)(n % 4 * 32)) + n / 4 * S::DS_CHUNK, packed[n]);
        publish_shared();
        give_ds(at.c.at);
    }

    /* dQ = dSt K over the keys of both groups: 64 queries, all columns (HS 64) or half of them. */
    __device__ __forceinline__ void start_dq(float (&dq)[32], int tile) const {
        const uint32_t a = left + (uint32_t)((tile + S::BUFFERS) % S::BUFFERS * S::DS >> 4);
        group_fence(dq);
#pragma unroll
        for (int n = 0; n < S::KEYS / 16; n++)
            wgmma_rows<T, 64, Tile<HS>::HIGH>(
                dq, S::Gradients::rows_at(a, n),
                Tile<HS>::rows_at(right + (uint32_t)(n / 4 * S::OWN >> 4), n % 4), n > 0);
        group_commit();
    }

    __device__ __forceinline__ void hand_over(const float (&dq)[32], int tile) const {
        const uint32_t to = block.shared + S::AT_SUM + group * S::SUM + threadIdx.x % 128 * 16;
        barrier_wait(block.barriers.sum_read(group), (tile & 1) ^ 1);
#pragma unroll
        for (int n = 0; n < 8; n++) store_four(to + n * 2048, &dq[4 * n]);
        publish_shared();
        __syncwarp();
        if (threadIdx.x % 32 == 0) barrier_arrive(block.barriers.sum_full(group));
    }

    __device__ __forceinline__ void release(const Place &at) const {
        (void)block.barriers.q().release(at.c.stage);
        (void)block.barriers.dout().release(at.c.stage);
    }

    /* Says to the other group that this one has stored dS of a tile; waits for the other's. Two
     * barriers a group, because a group may be a tile ahead. */
    __device__ __forceinline__ void give_ds(int tile) const {
        asm volatile("bar.arrive %0, 256;" ::"r"(3 + group + tile % 2 * 2) : "memory");
    }
    __device__ __forceinline__ void take_ds(int tile) const {
        asm volatile("bar.sync %0, 256;" ::"r"(4 - group + tile % 2 * 2) : "memory");
    }

    /* All tiles. While a tile's dQ is handed over, the next scores are computed. The last round
     * computes its own scores again, and, if LATE, the first computes a dQ of nothing: that takes
     * less time than branches around asynchronous products, for which the compiler would wait. */
    __device__ __forceinline__ void walk(float (&dk)[HS / 2], float (&dv)[HS / 2]) const {
        Place at = block.walk.start();
        if (!block.walk.within(at)) return;
        float s[N / 2], dp[N / 2];
        barrier_wait(block.barriers.k(), 0);
        if (S::LATE && group == 1) asm volatile("bar.sync 7, 256;" ::: "memory");
        start_s(s, at);
        barrier_wait(block.barriers.v(), 0);
        start_dp(dp, at);
        for (;;) {
            uint32_t w[N / 16][4], packed[N / 16][4];
            float dq[32];
            const int of = at.c.at - S::LATE; /* the tile of dq */
            group_wait<1>(s);
            weigh(dv, w, s, at);
            if (S::LATE && group == 0 && at.c.at == 0)
                asm volatile("bar.arrive 7, 256;" ::: "memory");
            group_wait<1>(dp);
            differentiate_columns<T, N>(packed, dp, w, rows(S::AT_DELTA, at));
            if (S::LATE && of >= 0) take_ds(of);
            store_ds(packed, at);
            start_weighted<T, HS, N>(dk, packed, q + stage(at));
            group_wait<1>(dv);
            if (!S::LATE) take_ds(of);
            start_dq(dq, of);
            Place next = at;
            block.walk.advance(next);
            const bool more = block.walk.within(next);
            if (!more) next = at;
            forget(s);
            start_s(s, next);
            group_wait<1>(dq, dk, dv);
            release(at);
            if (!S::LATE || of >= 0) hand_over(dq, of);
            if (!more) break;
            forget(dp);
            start_dp(dp, next);
            group_wait<1>(s); /* again above: the compiler follows dP alone into the next round */
            at = next;
        }
        group_wait<0>(s);
        if (S::LATE) finish_dq(at.c.at);
    }

    __device__ __forceinline__ void finish_dq(int tile) const {
        float dq[32];
        take_ds(tile);
        start_dq(dq, tile);
        group_wait<0>(dq);
        hand_over(dq, tile);
    }
};

template <typename T, typename S>
__device__ __forceinline__ void walk_and_store(const FusedBlock<S> &block) {
    const FusedGroup<T, S> worker(block);
    const FlashParams &p = block.p;
    const int group = worker.group, from = block.walk.key + 64 * group;
    const int64_t warps =
        (((int64_t)block.walk.batch * p.NH_kv + block.walk.head) * p.Tk_pad + from) / 16;
    const uint32_t own = block.shared + group * S::OWN;
    float dk[S::HS / 2], dv[S::HS / 2];
    clear(dk), clear(dv);
    worker.walk(dk, dv);
    /* dQ reads the keys of both groups. */
    asm volatile("bar.sync 7, 256;" ::: "memory");
    if (from >= p.Tk) return;
    store_tile<T, S::HS, false>(own + S::AT_V, block.maps.columns.dv, group, dv, 1.0f, 1.0f, from,
                                block.walk.head, block.walk.batch, p.lost_v + warps);
    store_tile<T, S::HS>(own + S::AT_K, block.maps.columns.dk, group, dk, p.scale, p.scale, from,
                         block.walk.head, block.walk.batch, p.lost_k + warps);
}

template <typename T, typename S>
__global__ void __launch_bounds__(S::THREADS, 1)
    flash_sm90_fused_kernel(const __grid_constant__ FlashParams p,
                            const __grid_constant__ FusedMaps maps) {
    extern __shared__ __align__(1024) uint8_t memory[];
    const uint32_t shared = shared_address(memory);
    const FusedBlock<S> block = {p, maps, shared, {shared + S::CONTROL}, FusedWalk<S>(p)};
    if (threadIdx.x == 0) block.barriers.create();
    __syncthreads();
    if (threadIdx.x >= 128 * S::GROUPS) {
        registers_shrink<24>();
        if (threadIdx.x == 128 * S::GROUPS) block.load();
        if (threadIdx.x == 128 * S::GROUPS + 32) block.add();
    } else {
        registers_grow<240>();
        walk_and_store<T>(block);
    }
}

template <typename T, typename S>
static Status launch(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    FusedMaps maps;
    TRY(flash_column_maps(&maps.columns, call, p, S::QUERIES));
    TRY(flash_sums_map(&maps.sums, call, p, S::SUM_ROWS));
    auto kernel = flash_sm90_fused_kernel<T, S>;
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::BYTES);
    const int64_t blocks = (int64_t)p.B * p.NH_kv * ((p.Tk + S::KEYS - 1) / S::KEYS);
    kernel<<<(unsigned)blocks, S::THREADS, S::BYTES, stream>>>(p, maps);
    return cuda_launched("flash_sm90_fused_kernel");
}

Status flash_sm90_fused(const AttentionCall *call, const FlashParams &params, cudaStream_t stream) {
    return fused_dispatch(call, [&](auto variant) {
        using V = decltype(variant);
        return launch<typename V::Type, FusedShape<V::HS>>(call, params, stream);
    });
}
