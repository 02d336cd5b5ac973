/* Flash attention backward for Hopper (sm_90a), the keys' pass: dV = Pt dO, dK = scale * dSt Q.
 *
 * A block owns 64 keys per warpgroup and iterates over the queries that see them, of every query
 * head of the group. St = K Qt and dPt = V dOt put keys in rows, so that Pt and dSt leave the
 * accumulators as the left operands of the two products that follow, whose right operands, the
 * tiles of dO and Q, are already loaded: nothing is written to shared memory. lse and delta belong
 * to columns here and travel with the tiles; padding has lse = +inf, so that its weights are 0.
 *
 * Up to HS 64 a block is one warpgroup and three (HS 32: four) share a multiprocessor: nothing
 * couples them, one fills another's waits, and at 168 registers (St 32, dPt 32, dK 32, dV 32, P
 * packed 16) nothing spills; three warpgroups in one block were an eighth slower, two with 255
 * registers a fifth. From HS 96 on dK and dV leave room for two warpgroups, which share their
 * tiles, and the last product of a tile runs on under the first of the next. At HS 256 dK and dV of
 * 64 keys fill two warpgroups' registers: one adds up dV, the other dK, and both compute the
 * weights (five products where four would do, but none of P goes through shared memory). At HS 64
 * a tile of 64 x 64 takes 512 cycles of tensor core and about 640 of shared memory (both operands
 * of the first two products come from there): that, not arithmetic, is the floor. At B=64, NH=12,
 * T=1024, HS=64 causal: 219 GFLOP, 0.22 ms at peak, 0.28 ms by shared memory; measured 0.48 ms. */
#include "nn/attention/cuda/flash_sm90/flash_sm90_dkdv.cuh"

/* The work of one warpgroup: its 64 keys against every query tile of the block, tiles [begin, begin
 * + steps) of each query head of the group. */
template <typename T, typename S, FlashKind KIND>
struct DkdvGroup {
    static constexpr int HS = S::HS, N = S::QUERIES;
    const FlashParams &p;
    const ColumnMaps &maps;
    uint32_t shared;
    typename S::Tiles ring;
    int begin, steps, head, batch;
    uint32_t k, v, q, dout;    /* descriptors; q and dout of stage 0 */
    int row;                   /* this lane's upper row */
    int first_all, last_all;   /* queries that see every key of the group */
    int first_some, last_some; /* queries that see some key; empty if the group has no keys */

    struct Place {
        Cursor<S::STAGES> c;
        int i; /* the tile's first query */
    };

    __device__ __forceinline__ void load(int at, int stage) const {
        if (at >= steps * p.group) return;
        const int h = head * p.group + at / steps, i = (begin + at % steps) * N;
        const int row_head = batch * p.NH + h;
        const uint32_t full = ring.full(stage);
        barrier_expect(full, 2 * S::TILE + 8 * N);
        load_tile<HS, N>(shared + S::Q + stage * S::TILE, maps.q, full, i, h, batch);
        copy_row(shared + S::LSE + stage * N * 4, maps.lse2, full, i, row_head);
        load_tile<HS, N>(shared + S::DOUT + stage * S::TILE, maps.dout, full, i, h, batch);
        copy_row(shared + S::DELTA + stage * N * 4, maps.delta, full, i, row_head);
    }

    /* Called by one thread, before a __syncthreads. */
    __device__ __forceinline__ void create() const {
        barrier_create(shared + S::CONTROL, 1);
        ring.create();
        barriers_publish();
    }

    /* Called after it: the warps start the first loads in parallel. */
    __device__ __forceinline__ void open(int block_row) const {
        constexpr int BYTES = Tile<HS>::bytes(64);
        const uint32_t full = shared + S::CONTROL;
        if (threadIdx.x == 0) {
            barrier_expect(full, 2 * S::OWNERS * BYTES);
            for (int g = 0; g < S::OWNERS; g++) {
                load_tile<HS, 64>(shared + S::K + g * BYTES, maps.k, full, block_row + 64 * g, head,
                                  batch);
                load_tile<HS, 64>(shared + S::V + g * BYTES, maps.v, full, block_row + 64 * g, head,
                                  batch);
            }
        }
        if (threadIdx.x == 32) load(0, 0);
        if (threadIdx.x == 64)
            for (int at = 1; at < S::STAGES; at++) load(at, at);
    }

    __device__ __forceinline__ void release(const Cursor<S::STAGES> &c) const {
        if (ring.release(c.stage)) load(c.at + S::STAGES, c.stage);
    }

    __device__ __forceinline__ bool within(const Place &at) const {
        return at.c.at < steps * p.group;
    }
    __device__ __forceinline__ void advance(Place &at) const {
        at.c.advance(), at.i += N;
        if (at.i == (begin + steps) * N) at.i = begin * N;
    }

    /* Turns scores into packed weights: exp2(scale2 s - lse2), 0 where masked. */
    __device__ __forceinline__ void weigh(uint32_t (&w)[N / 16][4], float (&s)[N / 2],
                                          const Place &at) const {
        if (at.i < first_all || at.i + N - 1 > last_all) {
            const int column = at.i + (int)threadIdx.x % 4 * 2;
#pragma unroll
            for (int r = 0; r < 2; r++) {
                int first, last;
                flash_queries_of<KIND>(p, batch, row + 8 * r, first, last);
                mask_row<N, KIND>(s, r, first - column, last - column);
            }
        }
        const uint32_t rows = shared + S::LSE + at.c.stage * N * 4 + threadIdx.x % 4 * 8;
        weigh_columns<T, N>(w, s, p.scale2, rows);
    }

    __device__ __forceinline__ void differentiate(uint32_t (&ds)[N / 16][4], float (&dp)[N / 2],
                                                  const uint32_t (&w)[N / 16][4],
                                                  const FlashKept<N> &kept, const Place &at) const {
        const uint32_t rows = shared + S::DELTA + at.c.stage * N * 4 + threadIdx.x % 4 * 8;
        if constexpr (KIND == FLASH_DROPOUT) {
#pragma unroll
            for (int i = 0; i < N / 2; i++)
                dp[i] = kept(i / 4, i / 2 % 2, i % 2) ? dp[i] * p.keep_scale : 0.0f;
        }
        differentiate_columns<T, N>(ds, dp, w, rows);
    }

    /* The weights of the tile that dropout keeps; not called without dropout. */
    __device__ __forceinline__ void draw(FlashKept<N> &kept, const Place &at) const {
        if constexpr (KIND == FLASH_DROPOUT)
            FlashDropout(p, batch, head * p.group + at.c.at / steps)
                .template along_queries<N>(kept, row, at.i);
    }

    /* The weights for the product of dV, which starts now: w itself, or w after dropout. */
    __device__ __forceinline__ void start_dv(float (&dv)[HS / 2], uint32_t (&left)[N / 16][4],
                                             const uint32_t (&w)[N / 16][4],
                                             const FlashKept<N> &kept, uint32_t tile) const {
        if constexpr (KIND == FLASH_DROPOUT) {
#pragma unroll
            for (int i = 0; i < N / 4; i++)
                left[i / 4][i % 4] = w[i / 4][i % 4] & kept.halves(i / 2, i % 2);
#pragma unroll
            for (int k = 0; k < N / 16; k++) pin(left[k]);
            start_weighted<T, HS, N>(dv, left, tile);
        } else {
            start_weighted<T, HS, N>(dv, w, tile);
        }
    }

    __device__ __forceinline__ bool needs(const Place &at) const {
        return at.i <= last_some && at.i + N > first_some;
    }

    __device__ __forceinline__ void walk(float (&dk)[HS / 2], float (&dv)[HS / 2]) const {
        Place at = {{}, begin * N};
        Cursor<S::STAGES> held = {-1};
        for (; within(at); advance(at)) {
            ring.wait(at.c.stage, at.c.parity);
            if (!needs(at)) {
                if (S::WORK == DEFER && held.at >= 0) {
                    group_wait<0>(dk, dv);
                    release(held);
                    held.at = -1;
                }
                release(at.c);
                continue;
            }
            const uint32_t stage = (uint32_t)(at.c.stage * S::TILE >> 4);
            float s[N / 2], dp[N / 2];
            uint32_t w[N / 16][4], left[N / 16][4], ds[N / 16][4];
            start_scores<T, HS, N, N>(s, k, q + stage);
            start_scores<T, HS, N, N>(dp, v, dout + stage);
            FlashKept<N> kept;
            draw(kept, at);
            if constexpr (S::WORK == DEFER) {
                group_wait<1>(s, dk, dv);
                if (held.at >= 0) release(held);
                held = at.c;
            } else {
                group_wait<1>(s);
            }
            weigh(w, s, at);
            start_dv(dv, left, w, kept, dout + stage);
            group_wait<1>(dp);
            differentiate(ds, dp, w, kept, at);
            start_weighted<T, HS, N>(dk, ds, q + stage);
            if constexpr (S::WORK != DEFER) {
                group_wait<0>(dk, dv);
                release(at.c);
            }
        }
        group_wait<0>(dk, dv);
    }

    /* The first warpgroup of a pair: dV only. */
    __device__ __forceinline__ void walk_dv(float (&dv)[HS / 2]) const {
        for (Place at = {{}, begin * N}; within(at); advance(at)) {
            ring.wait(at.c.stage, at.c.parity);
            if (needs(at)) {
                const uint32_t stage = (uint32_t)(at.c.stage * S::TILE >> 4);
                float s[N / 2];
                uint32_t w[N / 16][4], left[N / 16][4];
                start_scores<T, HS, N, N>(s, k, q + stage);
                FlashKept<N> kept;
                draw(kept, at);
                group_wait<0>(s);
                weigh(w, s, at);
                start_dv(dv, left, w, kept, dout + stage);
                group_wait<0>(dv);
            }
            release(at.c);
        }
    }

    /* The second warpgroup: the weights again, and dK. */
    __device__ __forceinline__ void walk_dk(float (&dk)[HS / 2]) const {
        for (Place at = {{}, begin * N}; within(at); advance(at)) {
            ring.wait(at.c.stage, at.c.parity);
            if (needs(at)) {
                const uint32_t stage = (uint32_t)(at.c.stage * S::TILE >> 4);
                float s[N / 2], dp[N / 2];
                uint32_t w[N / 16][4], ds[N / 16][4];
                start_scores<T, HS, N, N>(s, k, q + stage);
                start_scores<T, HS, N, N>(dp, v, dout + stage);
                FlashKept<N> kept;
                draw(kept, at);
                group_wait<1>(s);
                weigh(w, s, at);
                group_wait<0>(dp);
                differentiate(ds, dp, w, kept, at);
                start_weighted<T, HS, N>(dk, ds, q + stage);
                group_wait<0>(dk);
            }
            release(at.c);
        }
    }
};

/* Iterates over the tiles, and writes the sums through the tiles of K and V, which are no longer
 * read. */
template <typename T, typename S, FlashKind KIND>
__device__ __forceinline__ void walk_and_store(const DkdvGroup<T, S, KIND> &worker, uint32_t tile_k,
                                               uint32_t tile_v, int group_row) {
    constexpr int HS = S::HS;
    const FlashParams &p = worker.p;
    const ColumnMaps &maps = worker.maps;
    const int group = group_of_thread(), head = worker.head, b = worker.batch;
    const float kept = KIND == FLASH_DROPOUT ? p.keep_scale : 1.0f;
    const int64_t warps = (((int64_t)b * p.NH_kv + head) * p.Tk_pad + group_row) / 16;
    if constexpr (S::WORK == SPLIT) {
        float sum[HS / 2];
        clear(sum);
        if (group == 0)
            worker.walk_dv(sum);
        else
            worker.walk_dk(sum);
        __syncthreads();
        if (group == 0)
            store_tile<T, HS>(tile_v, maps.dv, group, sum, kept, kept, group_row, head, b,
                              p.lost_v + warps);
        else
            store_tile<T, HS>(tile_k, maps.dk, group, sum, p.scale, p.scale, group_row, head, b,
                              p.lost_k + warps);
    } else {
        float dk[HS / 2], dv[HS / 2];
        clear(dk), clear(dv);
        worker.walk(dk, dv);
        if (group_row >= p.Tk) return;
        store_tile<T, HS>(tile_v, maps.dv, group, dv, kept, kept, group_row, head, b,
                          p.lost_v + warps);
        store_tile<T, HS>(tile_k, maps.dk, group, dk, p.scale, p.scale, group_row, head, b,
                          p.lost_k + warps);
    }
}

template <typename T, typename S, FlashKind KIND>
__global__ void __launch_bounds__(S::THREADS, S::BLOCKS)
    flash_sm90_dkdv_kernel(const __grid_constant__ FlashParams p,
                           const __grid_constant__ ColumnMaps maps) {
    extern __shared__ __align__(1024) uint8_t memory[];
    const int head = blockIdx.x, b = blockIdx.z, block_row = blockIdx.y * S::ROWS;
    const uint32_t shared = shared_address(memory);
    int first, last, unused;
    flash_queries_of<KIND>(p, b, block_row, first, unused);
    flash_queries_of<KIND>(p, b, block_row + S::ROWS - 1, unused, last);
    const int begin = first / S::QUERIES, steps = last < first ? 0 : last / S::QUERIES + 1 - begin;
    const int owner = S::WORK == SPLIT ? 0 : group_of_thread(), group_row = block_row + 64 * owner;
    const int row = group_row + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
    const uint32_t tile_k = shared + S::K + owner * Tile<S::HS>::bytes(64);
    const uint32_t tile_v = shared + S::V + owner * Tile<S::HS>::bytes(64);
    DkdvGroup<T, S, KIND> worker = {p,
                                    maps,
                                    shared,
                                    {shared + S::CONTROL + 16},
                                    begin,
                                    steps,
                                    head,
                                    b,
                                    Tile<S::HS>::descriptor(tile_k, 64),
                                    Tile<S::HS>::descriptor(tile_v, 64),
                                    Tile<S::HS>::descriptor(shared + S::Q, S::QUERIES),
                                    Tile<S::HS>::descriptor(shared + S::DOUT, S::QUERIES),
                                    row};
    flash_queries_of<KIND>(p, b, group_row, worker.first_some, worker.last_all);
    flash_queries_of<KIND>(p, b, group_row + 63, worker.first_all, worker.last_some);
    if (group_row >= p.Tk) worker.last_some = -1;
    launch_next();
    if (threadIdx.x == 0) worker.create();
    __syncthreads();
    worker.open(block_row);
    barrier_wait(shared + S::CONTROL, 0);
    walk_and_store(worker, tile_k, tile_v, group_row);
}

template <typename T, typename S, FlashKind KIND>
static Status launch(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    ColumnMaps maps;
    TRY(flash_column_maps(&maps, call, p, S::QUERIES));
    auto kernel = flash_sm90_dkdv_kernel<T, S, KIND>;
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::BYTES);
    dim3 grid((unsigned)p.NH_kv, (unsigned)((p.Tk + S::ROWS - 1) / S::ROWS),
              (unsigned)p.B); /* the longest first */
    kernel<<<grid, S::THREADS, S::BYTES, stream>>>(p, maps);
    return cuda_launched("flash_sm90_dkdv_kernel");
}

template <typename T, FlashKind KIND>
static Status launch_of(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    constexpr bool PLAIN = KIND == FLASH_PLAIN, DROPOUT = KIND == FLASH_DROPOUT;
    switch (flash_width(call->HS)) {
    case 32: return launch<T, DkdvShape<32, 1, 64, 3, PLAIN ? 4 : 3, ALONE>, KIND>(call, p, stream);
    case 64:
        return launch<T, DkdvShape<64, 1, 64, 3, DROPOUT ? 2 : 3, ALONE>, KIND>(call, p, stream);
    case 96: return launch<T, DkdvShape<96, 2, 64, 2, 1, DEFER>, KIND>(call, p, stream);
    case 128:
        return launch<T, DkdvShape<128, 2, 64, 2, 1, DROPOUT ? ALONE : DEFER>, KIND>(call, p,
                                                                                     stream);
    default: return launch<T, DkdvShape<256, 2, 64, 2, 1, SPLIT>, KIND>(call, p, stream);
    }
}

Status flash_sm90_dkdv(const AttentionCall *call, const FlashParams &params, cudaStream_t stream) {
    return flash_dispatch(call, [&](auto variant) {
        using V = decltype(variant);
        return launch_of<typename V::Type, V::kind>(call, params, stream);
    });
}
