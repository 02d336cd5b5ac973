/* Flash attention forward for Hopper (sm_90a): wgmma fed by the tensor copy engine.
 *
 * A block owns 64 queries per warpgroup and iterates over their keys from the diagonal down. S = Q
 * Kt comes from shared memory; the weights go from the accumulators of S to the operand of P V in
 * registers. No warp is a producer: see Ring.
 *
 * The issue slots of the softmax, not the tensor cores, determine the shape: a tile of 64 x 128
 * costs a warp 64 each of fma, exp2 and add, 32 each of max, conversion and rescaling, about 450
 * instructions in all, against 512 cycles of tensor core at HS 64. So up to HS 64 two blocks of two
 * warpgroups share a multiprocessor, at 128 registers per thread (64 of S, 32 of out; the weights
 * take the place of S), and fill each other's waits. Tried and slower: computing the next scores
 * under this softmax (165 registers, so two or three warpgroups: +30% to +45%), tiles of 64 keys
 * (+20%), four chains of maxima and sums instead of two (+2%), skipping the rescaling where no
 * maximum rose (none). At HS 96 three warpgroups of 168 registers share one block and its tiles. On
 * the diagonal the upper of two warpgroups needs half a tile of 128 keys, and computes half.
 *
 * From HS 128 on two warpgroups have 255 registers, and each computes its next scores under this
 * softmax, taking turns with the other at starting products: 2% faster than three warpgroups at HS
 * 128, 5% than without at HS 256, whose tiles have 64 keys. Source of the idea: arXiv:2407.08608,
 * section 3.2.
 *
 * Under ranges a block visits the tiles from its first row's first key to its last row's last; a
 * warpgroup computes those that its own rows see, and of a tile at either end only the half that
 * they see (from HS 128 on, all of the block's). Blocks of one warpgroup, three to five per
 * multiprocessor, were 2% to 15% slower on documents. At HS 64 they have a kernel of their own,
 * flash_sm90_items.cu.
 *
 * Shared memory: HS 64, Q 16 KB and two stages of K and V, 80 KB a block; HS 128, Q 32 KB and two
 * stages, 160 KB. At B=64, NH=12, T=1024, HS=64 causal: 110 GFLOP are 0.11 ms at an H200's peak,
 * 400 MB 0.10 ms, 453 M exponentials 0.12 ms. Measured 0.29 ms: the issue slots are half full,
 * about a tenth of the time goes into filling and draining blocks of 4.5 tiles, and the power limit
 * takes the clock from 1.98 to 1.74 GHz. */
#include "nn/attention/attention.h"
#include "nn/attention/cuda/flash_sm90/flash_sm90_forward.cuh"

/* The tiles in shared memory: a ring of K and a ring of V. */
template <typename S, FlashKind KIND>
struct ForwardTiles {
    const FlashParams &p;
    const ForwardMaps &maps;
    uint32_t shared;
    int begin, end, head, batch; /* key tiles, from end - 1 down to begin; the key head */

    __device__ __forceinline__ uint32_t q_full() const { return shared + S::CONTROL; }
    __device__ __forceinline__ typename S::Tiles k() const { return {shared + S::CONTROL + 16}; }
    __device__ __forceinline__ typename S::Tiles v() const {
        return {shared + S::CONTROL + 16 + S::Tiles::CONTROL_BYTES};
    }

    /* The mark that identifies a tile for a load: in the plain kind its position in the sequence,
     * because `end` is recomputed and costs no register; in the others its number, so that only
     * `begin` is kept. One kind of mark for both spills. */
    __device__ __forceinline__ int mark(int at) const {
        return KIND == FLASH_PLAIN ? at : end - 1 - at;
    }

    __device__ __forceinline__ void load(uint32_t tiles, const CUtensorMap &map, uint32_t full,
                                         int mark, int stage) const {
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

    /* Called by one thread, before a __syncthreads. */
    __device__ __forceinline__ void create() const {
        barrier_create(q_full(), 1);
        k().create(), v().create();
        barriers_publish();
    }

    /* Called after it: four warps start the first loads in parallel, in the order of their use. */
    __device__ __forceinline__ void open(int row, int query_head) const {
        if (threadIdx.x == 0) {
            barrier_expect(q_full(), Tile<S::HS>::bytes(S::ROWS));
            for (int g = 0; g < S::GROUPS; g++)
                load_tile<S::HS, 64>(shared + S::Q + g * Tile<S::HS>::bytes(64), maps.q, q_full(),
                                     row + 64 * g, query_head, batch);
        }
        if (threadIdx.x == 32) load_k(mark(0), 0);
        if (threadIdx.x == 64) load_v(mark(0), 0);
        if (threadIdx.x == 96)
            for (int at = 1; at < S::STAGES; at++) load_k(mark(at), at), load_v(mark(at), at);
    }

    /* Releases tile n, at which the cursor is. */
    __device__ __forceinline__ int next_mark(const Cursor<S::STAGES> &c, int n) const {
        return KIND == FLASH_PLAIN ? c.at + S::STAGES : n - S::STAGES;
    }

    __device__ __forceinline__ void release_k(const Cursor<S::STAGES> &c, int n) const {
        if (k().release(c.stage)) load_k(next_mark(c, n), c.stage);
    }

    __device__ __forceinline__ void release_v(const Cursor<S::STAGES> &c, int n) const {
        if (v().release(c.stage)) load_v(next_mark(c, n), c.stage);
    }
};

template <typename T, typename S, FlashKind KIND>
__global__ void __launch_bounds__(S::THREADS, S::BLOCKS)
    flash_sm90_forward_kernel(const __grid_constant__ FlashParams p,
                              const __grid_constant__ ForwardMaps maps) {
    extern __shared__ __align__(1024) uint8_t memory[];
    const int h = blockIdx.x, b = blockIdx.z, block_row = (gridDim.y - 1 - blockIdx.y) * S::ROWS;
    const int group = group_of_thread(), group_row = block_row + 64 * group;
    const int row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
    const KeyTiles<KIND> walk(p, b, block_row, S::ROWS, S::KEYS);
    const ForwardTiles<S, KIND> tiles = {
        p, maps, shared_address(memory), walk.begin, walk.end, h / p.group, b};
    const uint32_t tile_q = tiles.shared + S::Q + group * Tile<S::HS>::bytes(64);
    const ForwardGroup<T, S, KIND, ForwardTiles<S, KIND>> worker = {
        p,
        tiles,
        Tile<S::HS>::descriptor(tile_q, 64),
        Tile<S::HS>::descriptor(tiles.shared + S::K, S::KEYS),
        Tile<S::HS>::descriptor(tiles.shared + S::V, S::KEYS),
        {p, tiles.shared + S::BOUNDS + group * 64 * 8, b, group_row},
        row,
        h};
    launch_next();
    worker.keys.store();
    if (threadIdx.x == 0) tiles.create();
    __syncthreads();
    tiles.open(block_row, h);

    float out[S::HS / 2];
    clear(out);
    RowState state;
    Cursor<S::STAGES> c;
    barrier_wait(tiles.q_full(), 0);
    if constexpr (S::AHEAD)
        worker.walk_ahead(out, state, c);
    else
        worker.walk(out, state, c);
    float factor[2];
    finish_rows(p, worker.keys, row, state, factor);
    if (group_row >= p.Tq) return;
    const float kept = KIND == FLASH_DROPOUT ? p.keep_scale : 1.0f;
    store_tile<T, S::HS, false>(tile_q, maps.out, group, out, factor[0] * kept, factor[1] * kept,
                                group_row, h, b, lost_of(p, b, h, group_row));
    keep_rows(p, (int64_t)b * p.NH + h, worker.keys, group_row, row, state);
    if (threadIdx.x % 128 == 0) stores_read();
}

template <typename T, typename S, FlashKind KIND>
static Status launch(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    ForwardMaps maps;
    TRY(flash_forward_maps(&maps, call, p, S::KEYS));
    auto kernel = flash_sm90_forward_kernel<T, S, KIND>;
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::BYTES);
    dim3 grid((unsigned)p.NH, (unsigned)((p.Tq + S::ROWS - 1) / S::ROWS),
              (unsigned)p.B); /* the longest rows first */
    kernel<<<grid, S::THREADS, S::BYTES, stream>>>(p, maps);
    return cuda_launched("flash_sm90_forward_kernel");
}

/* Dropout's bits would spill with tiles of 128 keys. */
template <typename T, FlashKind KIND>
static Status launch_of(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    constexpr bool DROPOUT = KIND == FLASH_DROPOUT;
    constexpr int KEYS = DROPOUT ? 64 : 128;
    switch (flash_width(call->HS)) {
    case 32: return launch<T, ForwardShape<32, 2, 128, 3, 2>, KIND>(call, p, stream);
    case 64:
        if constexpr (KIND == FLASH_RANGES)
            return flash_sm90_items<T>(call, p, stream);
        else
            return launch<T, ForwardShape<64, 2, KEYS, 2, 2>, KIND>(call, p, stream);
    case 96: return launch<T, ForwardShape<96, 3, KEYS, 2, 1>, KIND>(call, p, stream);
    case 128:
        return launch<T, ForwardShape<128, DROPOUT ? 3 : 2, KEYS, 2, 1, !DROPOUT>, KIND>(call, p,
                                                                                         stream);
    default: return launch<T, ForwardShape<256, 2, 64, 2, 1, !DROPOUT>, KIND>(call, p, stream);
    }
}

Status flash_sm90_forward(const AttentionCall *call, const AttentionArgs *args, void *cuda_stream) {
    FlashParams params;
    cudaStream_t stream = (cudaStream_t)cuda_stream;
    TRY(flash_params(call, args, false, &params));
    params.lost = (int *)args->workspace;
    TRY(flash_dispatch(call, [&](auto variant) {
        using V = decltype(variant);
        return launch_of<typename V::Type, V::kind>(call, params, stream);
    }));
    return flash_sm90_again_forward(call, params, stream);
}

extern "C" Status flash_sm90_forward_cuda(const Node *node, void *stream) {
    AttentionArgs args = attention_forward_args(node);
    return flash_sm90_forward(attention_call(node), &args, stream);
}
