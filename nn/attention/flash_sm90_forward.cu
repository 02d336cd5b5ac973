/* Flash attention forward for Hopper (sm_90a): wgmma fed by the tensor copy engine.
 *
 * A block owns 64 queries a warpgroup and walks over their keys from the diagonal down. S = Q Kt comes from shared
 * memory; the weights go from the accumulators of S to the operand of P V in registers. No warp is a producer: see
 * Ring.
 *
 * What sets the shape is not the tensor cores but the issue slots of the softmax: a tile of 64 x 128 costs a warp 64
 * each of fma, exp2 and add, 32 each of max, conversion and rescaling, about 450 instructions in all, against 512
 * cycles of tensor core at HS 64. So up to HS 64 two blocks of two warpgroups share a multiprocessor, at 128 registers
 * a thread (64 of S, 32 of out; the weights take the place of S), and fill each other's waits. Tried and slower:
 * computing the next scores under this softmax (165 registers, so two or three warpgroups: +30% to +45%), tiles of 64
 * keys (+20%), four chains of maxima and sums instead of two (+2%), skipping the rescaling where no maximum rose
 * (none). At HS 96 three warpgroups of 168 registers share one block and its tiles. On the diagonal the upper of two
 * warpgroups needs half a tile of 128 keys, and computes half.
 *
 * From HS 128 on two warpgroups have 255 registers, and each computes its next scores under this softmax, taking turns
 * with the other at starting products: 2% faster than three warpgroups at HS 128, 5% than without at HS 256, whose
 * tiles have 64 keys. Source of the idea: arXiv:2407.08608, section 3.2.
 *
 * Under ranges a block visits the tiles from its first row's first key to its last row's last; a warpgroup computes
 * those that its own rows see, and of a tile at either end only the half that they see (from HS 128 on, all of the
 * block's). Blocks of one warpgroup, three to five a multiprocessor, were 2% to 15% slower on documents.
 *
 * Shared memory: HS 64, Q 16 KB and two stages of K and V, 80 KB a block; HS 128, Q 32 KB and two stages, 160 KB.
 * At B=64, NH=12, T=1024, HS=64 causal: 110 GFLOP are 0.11 ms at an H200's peak, 400 MB 0.10 ms, 453 M exponentials
 * 0.12 ms. Measured 0.29 ms: the issue slots are half full, about a tenth of the time goes into filling and draining
 * blocks of 4.5 tiles, and the power limit takes the clock from 1.98 to 1.74 GHz. */
#include "nn/attention/flash_sm90.cuh"
#include "nn/attention/flash_sm90_keys.cuh"
#include "nn/attention/flash_sm90_softmax.cuh"

struct ForwardMaps {
    CUtensorMap q, k, v, out;
};

/* GROUPS warpgroups of 64 queries each, walking over KEYS keys at a time, STAGES of K and of V in flight. BLOCKS of
 * them share a multiprocessor. */
template <int HS_, int GROUPS_, int KEYS_, int STAGES_, int BLOCKS_, bool AHEAD_ = false>
struct ForwardShape {
    static constexpr int HS = HS_, GROUPS = GROUPS_, KEYS = KEYS_, STAGES = STAGES_, BLOCKS = BLOCKS_;
    static constexpr bool AHEAD = AHEAD_;      /* the next scores are computed under this softmax */
    static constexpr bool INTEGERS = HS == 64; /* saves 3% there, and costs 2% where registers are short */
    static constexpr int ROWS = 64 * GROUPS, THREADS = 128 * GROUPS, TILE = Tile<HS>::bytes(KEYS);
    static constexpr int Q = 0, K = Tile<HS>::bytes(ROWS), V = K + STAGES * TILE, CONTROL = V + STAGES * TILE;
    using Tiles = Ring<STAGES, 4 * GROUPS>;
    static constexpr int BOUNDS = CONTROL + 16 + 2 * Tiles::CONTROL_BYTES;
    static constexpr int BYTES = BOUNDS + ROWS * (int)sizeof(int2);
};

/* The walk's tiles in shared memory: a ring of K and a ring of V. */
template <typename S, FlashKind KIND>
struct ForwardTiles {
    const FlashParams &p;
    const ForwardMaps &maps;
    uint32_t shared;
    int begin, end, head, batch; /* tiles, walked from end - 1 down to begin; the key head */

    __device__ __forceinline__ uint32_t q_full() const { return shared + S::CONTROL; }
    __device__ __forceinline__ typename S::Tiles k() const { return {shared + S::CONTROL + 16}; }
    __device__ __forceinline__ typename S::Tiles v() const {
        return {shared + S::CONTROL + 16 + S::Tiles::CONTROL_BYTES};
    }

    /* A tile is loaded by its mark: its place in the walk in the plain kind, where `end` costs no register, being
     * computed anew; its number in the others, which then keep `begin` alone. Either mark in both kinds spills. */
    __device__ __forceinline__ int mark(int at) const { return KIND == FLASH_PLAIN ? at : end - 1 - at; }

    __device__ __forceinline__ void load(uint32_t tiles, const CUtensorMap &map, uint32_t full, int mark,
                                         int stage) const {
        const int n = KIND == FLASH_PLAIN ? end - 1 - mark : mark;
        if (n < begin) return;
        barrier_expect(full, S::TILE);
        load_tile<S::HS, S::KEYS>(tiles + stage * S::TILE, map, full, n * S::KEYS, head, batch);
    }

    __device__ __forceinline__ void load_k(int mark, int stage) const {
        load(shared + S::K, maps.k, k().full(stage), mark, stage);
    }

    __device__ __forceinline__ void load_v(int mark, int stage) const {
        load(shared + S::V, maps.v, v().full(stage), mark, stage);
    }

    /* One thread, before a __syncthreads. */
    __device__ __forceinline__ void create() const {
        barrier_create(q_full(), 1);
        k().create(), v().create();
        barriers_publish();
    }

    /* After it: four warps start the first loads side by side, the first needed first. */
    __device__ __forceinline__ void open(int row, int query_head) const {
        if (threadIdx.x == 0) {
            barrier_expect(q_full(), Tile<S::HS>::bytes(S::ROWS));
            for (int g = 0; g < S::GROUPS; g++)
                load_tile<S::HS, 64>(shared + S::Q + g * Tile<S::HS>::bytes(64), maps.q, q_full(), row + 64 * g,
                                     query_head, batch);
        }
        if (threadIdx.x == 32) load_k(mark(0), 0);
        if (threadIdx.x == 64) load_v(mark(0), 0);
        if (threadIdx.x == 96)
            for (int at = 1; at < S::STAGES; at++) load_k(mark(at), at), load_v(mark(at), at);
    }

    /* Tile n, which the cursor is at, is done with. */
    __device__ __forceinline__ int next_mark(const Cursor<S::STAGES> &c, int n) const {
        return KIND == FLASH_PLAIN ? c.at + S::STAGES : n - S::STAGES;
    }

    __device__ __forceinline__ void release_k(const Cursor<S::STAGES> &c, int n) const {
        if (k().release(c.stage, c.parity)) load_k(next_mark(c, n), c.stage);
    }

    __device__ __forceinline__ void release_v(const Cursor<S::STAGES> &c, int n) const {
        if (v().release(c.stage, c.parity)) load_v(next_mark(c, n), c.stage);
    }
};

/* What one warpgroup does: its 64 rows against every tile of the block's walk. */
template <typename T, typename S, FlashKind KIND>
struct ForwardGroup {
    const FlashParams &p;
    const ForwardTiles<S, KIND> &tiles;
    uint32_t q, k, v; /* descriptors; of stage 0 */
    RowKeys<KIND> keys;
    int row, head; /* this lane's upper row in the group; the query head */

    /* Offset: the first of the tile's keys that are wanted. */
    template <int N>
    __device__ __forceinline__ void start_qk(float (&s)[N / 2], const Cursor<S::STAGES> &c, int offset) const {
        tiles.k().wait(c.stage, c.parity);
        const uint32_t tile = k + (uint32_t)(c.stage * S::TILE >> 4);
        start_scores<T, S::HS, S::KEYS, N>(s, q, Tile<S::HS>::rows_at(tile, offset / 16));
    }

    template <int N>
    __device__ __forceinline__ void start_pv(float (&out)[S::HS / 2], const uint32_t (&w)[N / 16][4],
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

    /* Keys [offset, offset + N) of the tile that begins with key `tile`. */
    template <int N>
    __device__ __forceinline__ void step(float (&out)[S::HS / 2], RowState &state, const Cursor<S::STAGES> &c, int tile,
                                         int offset) const {
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

    /* One tile after the other: other warpgroups fill the tensor cores meanwhile. On the diagonal half a tile may do,
     * and where ranges begin (the other half). */
    __device__ __forceinline__ void walk(float (&out)[S::HS / 2], RowState &state) const {
        constexpr int HALF = S::KEYS / 2;
        Cursor<S::STAGES> c;
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

    /* The two warpgroups of a block take turns at starting products, so that the softmax of one lies under the products
     * of the other. Both pass here equally often. */
    __device__ __forceinline__ void take_turn() const {
        asm volatile("bar.sync %0, 256;" ::"r"(4 + threadIdx.x / 128) : "memory");
    }

    __device__ __forceinline__ void give_turn() const {
        asm volatile("bar.arrive %0, 256;" ::"r"(5 - threadIdx.x / 128) : "memory");
    }

    /* The scores of the next tile run while the weights of this one are computed. */
    __device__ __forceinline__ void walk_ahead(float (&out)[S::HS / 2], RowState &state) const {
        constexpr int N = S::KEYS;
        Cursor<S::STAGES> c;
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

__device__ __forceinline__ void finish_rows(const FlashParams &p, int64_t head, int row, RowState &state) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const float sum = flash_quad_sum(state.sum[r]);
        const int i = row + 8 * r;
        if (p.lse != nullptr && threadIdx.x % 4 == 0 && i < p.Tq)
            p.lse[head * p.Tq + i] = sum == 0.0f ? -FLASH_INF : state.maximum[r] * p.scale + __logf(sum);
        state.sum[r] = sum == 0.0f ? 0.0f : __fdividef(1.0f, sum);
    }
}

template <typename T, typename S, FlashKind KIND>
__global__ void __launch_bounds__(S::THREADS, S::BLOCKS)
    flash_sm90_forward_kernel(const __grid_constant__ FlashParams p, const __grid_constant__ ForwardMaps maps) {
    extern __shared__ __align__(1024) uint8_t memory[];
    const int h = blockIdx.y, b = blockIdx.z, block_row = (gridDim.x - 1 - blockIdx.x) * S::ROWS;
    const int group = threadIdx.x / 128, group_row = block_row + 64 * group;
    const int row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
    const KeyTiles<KIND> walk(p, b, block_row, S::ROWS, S::KEYS);
    const ForwardTiles<S, KIND> tiles = {p, maps, shared_address(memory), walk.begin, walk.end, h / p.group, b};
    const uint32_t tile_q = tiles.shared + S::Q + group * Tile<S::HS>::bytes(64);
    const ForwardGroup<T, S, KIND> worker = {p,
                                             tiles,
                                             Tile<S::HS>::descriptor(tile_q, 64),
                                             Tile<S::HS>::descriptor(tiles.shared + S::K, S::KEYS),
                                             Tile<S::HS>::descriptor(tiles.shared + S::V, S::KEYS),
                                             {p, tiles.shared + S::BOUNDS + group * 64 * 8, b, group_row},
                                             row,
                                             h};
    if (threadIdx.x == 0) tiles.create();
    __syncthreads();
    tiles.open(block_row, h);

    float out[S::HS / 2];
    clear(out);
    RowState state = {{-FLASH_INF, -FLASH_INF}, {0.0f, 0.0f}, {0.0f, 0.0f}};
    barrier_wait(tiles.q_full(), 0);
    if constexpr (S::AHEAD)
        worker.walk_ahead(out, state);
    else
        worker.walk(out, state);
    finish_rows(p, (int64_t)b * p.NH + h, group_row + row, state);
    const float kept = KIND == FLASH_DROPOUT ? p.keep_scale : 1.0f;
    if (group_row < p.Tq)
        store_tile<T, S::HS>(tile_q, maps.out, group, out, state.sum[0] * kept, state.sum[1] * kept, group_row, h, b);
}

template <typename T, typename S, FlashKind KIND>
static Status launch(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    ForwardMaps maps;
    TRY(flash_map(&maps.q, p.q, call, call->q, call->Tq, call->NH, 64));
    TRY(flash_map(&maps.k, p.k, call, call->k, call->Tk, call->NH_kv, S::KEYS));
    TRY(flash_map(&maps.v, p.v, call, call->v, call->Tk, call->NH_kv, S::KEYS));
    TRY(flash_map(&maps.out, p.out, call, call->out, call->Tq, call->NH, 64));
    auto kernel = flash_sm90_forward_kernel<T, S, KIND>;
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::BYTES);
    dim3 grid((unsigned)((p.Tq + S::ROWS - 1) / S::ROWS), (unsigned)p.NH, (unsigned)p.B);
    kernel<<<grid, S::THREADS, S::BYTES, stream>>>(p, maps);
    return flash_launched("flash_sm90_forward_kernel");
}

/* Dropout's bits would spill beside tiles of 128 keys. */
template <typename T, FlashKind KIND>
static Status launch_of(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    constexpr bool DROPOUT = KIND == FLASH_DROPOUT;
    constexpr int KEYS = DROPOUT ? 64 : 128;
    switch (call->HS) {
    case 32: return launch<T, ForwardShape<32, 2, 128, 3, 2>, KIND>(call, p, stream);
    case 64: return launch<T, ForwardShape<64, 2, KEYS, 2, 2>, KIND>(call, p, stream);
    case 96: return launch<T, ForwardShape<96, 3, KEYS, 2, 1>, KIND>(call, p, stream);
    case 128: return launch<T, ForwardShape<128, DROPOUT ? 3 : 2, KEYS, 2, 1, !DROPOUT>, KIND>(call, p, stream);
    default: return launch<T, ForwardShape<256, 2, 64, 2, 1, !DROPOUT>, KIND>(call, p, stream);
    }
}

const char *flash_sm90_refuses(const AttentionCall *call, int sm) {
    if (sm != 90) return "needs sm_90";
    if (call->HS != 32 && call->HS != 64 && call->HS != 96 && call->HS != 128 && call->HS != 256)
        return "needs HS 32, 64, 96, 128 or 256";
    if (!(call->scale > 0.0f)) return "needs a positive scale";
    return flash_common_refuses(call);
}

size_t flash_sm90_forward_workspace(const AttentionCall *call) {
    (void)call;
    return 0;
}

Status flash_sm90_forward(const AttentionCall *call, const AttentionArgs *args, void *cuda_stream) {
    FlashParams params;
    TRY(flash_params(call, args, false, &params));
    return flash_dispatch(call, [&](auto variant) {
        using V = decltype(variant);
        return launch_of<typename V::Type, V::kind>(call, params, (cudaStream_t)cuda_stream);
    });
}
