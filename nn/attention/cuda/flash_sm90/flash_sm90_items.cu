/* Flash attention forward for Hopper (sm_90a) under ranges, at head size 64: a block processes
 * several items in sequence.
 *
 * With documents of 256 tokens an item, 128 rows of a head, is 2.5 tiles of keys: 5.5 us of work,
 * in addition to 3.3 us that a block of one item spends on starting, reading its ranges, waiting
 * for its first tiles and writing its rows. So a block processes its items (flash_sm90_items.cuh)
 * as one sequence of tiles: the rings of K and V continue from the last tile of an item to the
 * first of the next, the rows of Q for the next item are loaded while this one is computed, and out
 * is stored through the tile of Q while the next one is computed.
 *
 * Shared memory: two tiles of Q, two stages of K and V, the first and last key of every row of
 * every item, and for each item its tiles and position: 104 KB, two blocks per multiprocessor. All
 * except the tiles is written before the block's barrier and only read after it.
 *
 * Reuse of a tile of Q: it holds item j's rows; after a barrier of the group's four warps, item j's
 * out; then item j + 2's rows, whose copy the thread that stored out starts when the copy engine
 * has read out. A group without rows stores nothing but still takes part in the barrier: otherwise
 * one of its warps could wait for item j's rows while item j + 2's rows complete the mbarrier's
 * next phase but one.
 *
 * Why it cannot deadlock, in addition to the argument of Ring. A warp waits for
 *   a stage of K or V: for releases of earlier tiles, counted through all items, by warps that are
 *     behind it;
 *   its group's rows of item j: a copy that the group's first thread starts in item j - 1, at the
 *     release of its first tile or, without tiles, at its end, after it has waited for the copy
 *     engine only;
 *   the other warps of its group, at an item's end: it holds no stage, and all four arrive there.
 * For the warp that is behind all others the earlier tiles are released, so each of its waits
 * ends. */
#include "nn/attention/cuda/flash_sm90/flash_sm90_forward.cuh"
#include "nn/attention/cuda/flash_sm90/flash_sm90_items.cuh"

/* A ForwardShape with two tiles of Q, and the keys and positions of its items. */
template <typename BASE>
struct ItemShape : BASE {
    static constexpr int QS = 2, Q_BYTES = Tile<BASE::HS>::bytes(BASE::ROWS);
    static constexpr int Q = 0, K = QS * Q_BYTES, V = K + BASE::STAGES * BASE::TILE;
    static constexpr int BOUNDS = V + BASE::STAGES * BASE::TILE;
    static constexpr int KEYS_OF_ITEM = BASE::ROWS * (int)sizeof(int2);
    static constexpr int WALKS = BOUNDS + FLASH_ITEMS * KEYS_OF_ITEM;
    static constexpr int PLACES = WALKS + (FLASH_ITEMS + 1) * (int)sizeof(int4);
    static constexpr int CONTROL = PLACES + FLASH_ITEMS * (int)sizeof(int4);
    static constexpr int BYTES = CONTROL + 8 * QS * BASE::GROUPS + 2 * BASE::Tiles::CONTROL_BYTES;
};

__device__ __forceinline__ int4 load_quad(uint32_t address) {
    int4 quad;
    asm volatile("ld.shared.v4.s32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(quad.x), "=r"(quad.y), "=r"(quad.z), "=r"(quad.w)
                 : "r"(address));
    return quad;
}

__device__ __forceinline__ void store_quad(uint32_t address, int4 quad) {
    asm volatile("st.shared.v4.s32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(quad.x),
                 "r"(quad.y), "r"(quad.z), "r"(quad.w)
                 : "memory");
}

/* The position of an item: first row, query head, batch. */
struct ItemPlace {
    int row, head, batch;
    __device__ __forceinline__ ItemPlace(const FlashParams &p, int rows, int item) {
        const int blocks = (p.Tq + rows - 1) / rows, heads = item / blocks;
        row = (blocks - 1 - item % blocks) * rows, head = heads % p.NH, batch = heads / p.NH;
    }
};

/* The key tiles of one item of a block, in the sequence of all. */
template <typename S>
struct ItemTiles {
    const FlashParams &p;
    const ForwardMaps &maps;
    uint32_t shared;
    int item, begin, end; /* number of the block's items; key tiles from end - 1 down to begin */

    __device__ __forceinline__ uint32_t q_full(int group, int of) const {
        return shared + S::CONTROL + 8 * (S::QS * group + of % S::QS);
    }
    __device__ __forceinline__ typename S::Tiles k() const {
        return {shared + S::CONTROL + 8 * S::QS * S::GROUPS};
    }
    __device__ __forceinline__ typename S::Tiles v() const {
        return {k().control + S::Tiles::CONTROL_BYTES};
    }
    __device__ __forceinline__ uint32_t tile_q(int group, int of) const {
        return shared + S::Q + of % S::QS * S::Q_BYTES + group * Tile<S::HS>::bytes(64);
    }
    /* Begin, end, key head, batch; after the last item a sequence that no tile is past. */
    __device__ __forceinline__ int4 walk_of(int of) const {
        return load_quad(shared + S::WALKS + of * 16);
    }
    /* First row, query head, batch. */
    __device__ __forceinline__ int4 place_of(int of) const {
        return load_quad(shared + S::PLACES + of * 16);
    }

    /* Starts the copy of tile n of item `of`; a tile past the item's last one belongs to the next
     * item, at the same distance. */
    __device__ __forceinline__ void load(uint32_t to, const CUtensorMap &map, uint32_t full, int of,
                                         int n) const {
        int4 walk = walk_of(of);
        while (n < walk.x) {
            const int past = walk.x - n;
            walk = walk_of(++of);
            n = walk.y - past;
        }
        if (walk.w < 0) return;
        barrier_expect(full, S::TILE);
        load_tile<S::HS, S::KEYS>(to, map, full, n * S::KEYS, walk.z, walk.w);
    }

    __device__ __forceinline__ void load_k(int n, int stage) const {
        load(shared + S::K + stage * S::TILE, maps.k, k().full(stage), item, n);
    }

    __device__ __forceinline__ void load_v(int n, int stage) const {
        load(shared + S::V + stage * S::TILE, maps.v, v().full(stage), item, n);
    }

    /* Called by one thread of the group. */
    __device__ __forceinline__ void load_q(int group, int of) const {
        const int4 place = place_of(of);
        barrier_expect(q_full(group, of), Tile<S::HS>::bytes(64));
        load_tile<S::HS, 64>(tile_q(group, of), maps.q, q_full(group, of), place.x + 64 * group,
                             place.y, place.z);
    }

    /* Called by one thread, before a __syncthreads. */
    __device__ __forceinline__ void create() const {
        for (int at = 0; at < S::QS * S::GROUPS; at++)
            barrier_create(shared + S::CONTROL + 8 * at, 1);
        k().create(), v().create();
        barriers_publish();
    }

    /* Called after it, for the first item. */
    __device__ __forceinline__ void open() const {
        if (threadIdx.x % 128 == 0) load_q(threadIdx.x / 128, 0);
        if (threadIdx.x == 32) load_k(end - 1, 0);
        if (threadIdx.x == 64) load_v(end - 1, 0);
        if (threadIdx.x == 96)
            for (int at = 1; at < S::STAGES; at++)
                load_k(end - 1 - at, at), load_v(end - 1 - at, at);
    }

    /* Loads the next item's rows where the previous item's out was. */
    __device__ __forceinline__ void ask_next() const {
        if (threadIdx.x % 128 != 0 || walk_of(item + 1).w < 0) return;
        stores_read();
        load_q(threadIdx.x / 128, item + 1);
    }

    __device__ __forceinline__ void release_k(const Cursor<S::STAGES> &c, int n) const {
        if (k().release(c.stage)) load_k(n - S::STAGES, c.stage);
    }

    __device__ __forceinline__ void release_v(const Cursor<S::STAGES> &c, int n) const {
        if (v().release(c.stage)) load_v(n - S::STAGES, c.stage);
        if (n == end - 1) ask_next();
    }
};

/* Loads the block's data about its items: tiles and positions, one thread each, and the keys of
 * every row. */
template <typename S>
__device__ __forceinline__ void prepare_items(const FlashParams &p, const FlashPlan &plan,
                                              const FlashRun &run, uint32_t shared) {
    if ((int)threadIdx.x < run.count) {
        const ItemPlace at(p, S::ROWS, flash_item(plan, run, (int)threadIdx.x));
        const KeyTiles<FLASH_RANGES> walk(p, at.batch, at.row, S::ROWS, S::KEYS);
        store_quad(shared + S::WALKS + threadIdx.x * 16,
                   {walk.begin, walk.end, at.head / p.group, at.batch});
        store_quad(shared + S::PLACES + threadIdx.x * 16, {at.row, at.head, at.batch, 0});
    }
    if ((int)threadIdx.x == run.count)
        store_quad(shared + S::WALKS + threadIdx.x * 16, {INT32_MIN, 0, 0, -1});
    const int group_row = threadIdx.x % S::ROWS / 64 * 64;
#pragma unroll
    for (int of = threadIdx.x / S::ROWS; of < FLASH_ITEMS; of += S::THREADS / S::ROWS) {
        if (of >= run.count) break;
        const ItemPlace at(p, S::ROWS, flash_item(plan, run, of));
        const uint32_t keys = shared + S::BOUNDS + of * S::KEYS_OF_ITEM + group_row * 8;
        store_keys<FLASH_RANGES>(p, keys, at.batch, at.row + group_row, threadIdx.x % 64);
    }
}

template <typename T, typename S>
__global__ void __launch_bounds__(S::THREADS, S::BLOCKS)
    flash_sm90_items_kernel(const __grid_constant__ FlashParams p,
                            const __grid_constant__ ForwardMaps maps,
                            const __grid_constant__ FlashPlan plan) {
    extern __shared__ __align__(1024) uint8_t memory[];
    const uint32_t shared = shared_address(memory);
    const FlashRun run = flash_run(plan, blockIdx.x);
    const int group = threadIdx.x / 128, row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
    ItemTiles<S> tiles = {p, maps, shared};
    launch_next();
    if (threadIdx.x == S::THREADS - 1) tiles.create();
    prepare_items<S>(p, plan, run, shared);
    __syncthreads();
    Cursor<S::STAGES> c;
    for (tiles.item = 0; tiles.item < run.count; tiles.item++) {
        const int4 walk = tiles.walk_of(tiles.item);
        tiles.begin = walk.x, tiles.end = walk.y;
        if (tiles.item == 0) tiles.open();
        const uint32_t tile_q = tiles.tile_q(group, tiles.item);
        const uint32_t keys = shared + S::BOUNDS + tiles.item * S::KEYS_OF_ITEM + group * 64 * 8;
        const ForwardGroup<T, S, FLASH_RANGES, ItemTiles<S>> worker = {
            p,
            tiles,
            Tile<S::HS>::descriptor(tile_q, 64),
            Tile<S::HS>::descriptor(shared + S::K, S::KEYS),
            Tile<S::HS>::descriptor(shared + S::V, S::KEYS),
            {p, keys, 0, 0}, /* stored, not computed */
            row,
            0};
        float out[S::HS / 2];
        clear(out);
        RowState state;
        barrier_wait(tiles.q_full(group, tiles.item), tiles.item / S::QS % 2);
        worker.walk(out, state, c);
        if (tiles.begin == tiles.end) tiles.ask_next();
        const int4 at = tiles.place_of(tiles.item);
        const int group_row = at.x + 64 * group;
        float factor[2];
        finish_rows(p, worker.keys, row, state, factor);
        if (group_row < p.Tq) {
            store_tile<T, S::HS, false>(tile_q, maps.out, group, out, factor[0], factor[1],
                                        group_row, at.y, at.z, lost_of(p, at.z, at.y, group_row));
            keep_rows(p, (int64_t)at.z * p.NH + at.y, worker.keys, group_row, row, state);
        } else {
            group_sync(group);
        }
    }
    if (threadIdx.x % 128 == 0) stores_read();
}

/* How many multiprocessors the device has. */
static Status count_multiprocessors(int64_t *out) {
    int device, count;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
    if (error != cudaSuccess)
        return ERROR(STATUS_FAILURE, "flash attention: the device tells nothing of itself: %s",
                     cudaGetErrorString(error));
    *out = count;
    return Status{STATUS_OK};
}

template <typename T>
Status flash_sm90_items(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    using S = ItemShape<ForwardShape<64, 2, 128, 2, 2>>;
    int64_t multiprocessors = 0;
    TRY(count_multiprocessors(&multiprocessors));
    const int64_t items = (p.Tq + S::ROWS - 1) / S::ROWS * (int64_t)p.NH * p.B;
    const FlashPlan plan = flash_plan(items, multiprocessors * S::BLOCKS);
    ForwardMaps maps;
    TRY(flash_forward_maps(&maps, call, p, S::KEYS));
    auto kernel = flash_sm90_items_kernel<T, S>;
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::BYTES);
    kernel<<<(unsigned)plan.total_blocks, S::THREADS, S::BYTES, stream>>>(p, maps, plan);
    return cuda_launched("flash_sm90_items_kernel");
}

template Status flash_sm90_items<__half>(const AttentionCall *, const FlashParams &, cudaStream_t);
template Status flash_sm90_items<__nv_bfloat16>(const AttentionCall *, const FlashParams &,
                                                cudaStream_t);
