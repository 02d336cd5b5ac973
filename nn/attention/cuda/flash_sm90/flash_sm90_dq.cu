/* Flash attention backward for Hopper (sm_90a), the queries' pass: dQ = scale * dS K.
 *
 * The backward direction takes two passes, this one and flash_sm90_dkdv.cu, which share only lse
 * and delta. They take seven products instead of the five of a fused pass, but dQ stays in
 * registers: no atomics, no f32 copy of dQ to clear, add into and convert (0.5 GB of traffic at
 * GPT-2's shape), and the same bits every time.
 *
 * A block owns 64 queries per warpgroup and iterates over their keys: S = Q Kt and dP = dO Vt from
 * shared memory, dS from the accumulators straight into the operand of dS K, whose K is the tile
 * that S just read. It also computes delta = rowsum(dout * out) for its rows, from registers, and
 * stores it for the other pass, with lse in base 2.
 *
 * Up to HS 64: tiles of 64 keys, two blocks of two warpgroups per multiprocessor at 128 registers
 * (S 32, dP 32, dQ 32). From HS 96 on: tiles of 128 keys, one block at 255; at HS 256, where Q and
 * dO take 128 KB and dQ 128 registers, three stages of 32 keys. Under ranges a block visits the
 * tiles from its first row's first key to its last row's last, and a warpgroup computes those of
 * its own rows. At B=64, NH=12, T=1024, HS=64 causal: 164 GFLOP, 0.17 ms at peak, and 0.5 GB;
 * measured 0.35 ms. At HS 128, T=4096 it runs at 690 TFLOP/s. */
#include "nn/attention/cuda/flash_sm90/flash_sm90_rows.cuh"

struct DqMaps {
    CUtensorMap q, dout, k, v, dq;
};

/* GROUPS warpgroups of 64 queries each, which iterate over KEYS keys at a time. */
template <int HS_, int GROUPS_, int KEYS_, int STAGES_, int BLOCKS_>
struct DqShape {
    static constexpr int HS = HS_, GROUPS = GROUPS_, KEYS = KEYS_, STAGES = STAGES_,
                         BLOCKS = BLOCKS_;
    static_assert(64 * GROUPS == TILED_ROW_PAD,
                  "a block's rows and the workspace's padding must agree");
    static constexpr int ROWS = 64 * GROUPS, THREADS = 128 * GROUPS, TILE = Tile<HS>::bytes(KEYS);
    static constexpr int Q = 0, DOUT = Tile<HS>::bytes(ROWS), K = 2 * DOUT, V = K + STAGES * TILE;
    static constexpr int CONTROL = V + STAGES * TILE;
    using Tiles = Ring<STAGES, 4 * GROUPS>;
    static constexpr int BYTES = CONTROL + 16 + Tiles::CONTROL_BYTES;
};

template <typename T, typename S, FlashKind KIND>
struct DqGroup {
    const FlashParams &p;
    const DqMaps &maps;
    uint32_t shared;
    typename S::Tiles ring;
    int begin, end, head,
        batch; /* key tiles of the block, from end - 1 down to begin; the key head */
    int query_head;

    __device__ __forceinline__ void load(int at, int stage) const {
        const int n = end - 1 - at;
        if (n < begin) return;
        const uint32_t full = ring.full(stage);
        barrier_expect(full, 2 * S::TILE);
        load_tile<S::HS, S::KEYS>(shared + S::K + stage * S::TILE, maps.k, full, n * S::KEYS, head,
                                  batch);
        load_tile<S::HS, S::KEYS>(shared + S::V + stage * S::TILE, maps.v, full, n * S::KEYS, head,
                                  batch);
    }

    /* Called by one thread, before a __syncthreads. */
    __device__ __forceinline__ void create() const {
        barrier_create(shared + S::CONTROL, 1);
        ring.create();
        barriers_publish();
    }

    /* Called after it: two warps start the first loads in parallel. */
    __device__ __forceinline__ void open(int row, int query_head) const {
        constexpr int BYTES = Tile<S::HS>::bytes(64);
        const uint32_t full = shared + S::CONTROL;
        if (threadIdx.x == 0) {
            barrier_expect(full, 2 * S::GROUPS * BYTES);
            for (int g = 0; g < S::GROUPS; g++) {
                load_tile<S::HS, 64>(shared + S::Q + g * BYTES, maps.q, full, row + 64 * g,
                                     query_head, batch);
                load_tile<S::HS, 64>(shared + S::DOUT + g * BYTES, maps.dout, full, row + 64 * g,
                                     query_head, batch);
            }
        }
        if (threadIdx.x == 32)
            for (int at = 0; at < S::STAGES; at++) load(at, at);
    }

    __device__ __forceinline__ void release(const Cursor<S::STAGES> &c) const {
        if (ring.release(c.stage)) load(c.at + S::STAGES, c.stage);
    }

    /* This warpgroup's rows against every key tile of the block. */
    __device__ __forceinline__ void walk(float (&dq)[S::HS / 2], int group_row, int row,
                                         const float (&lse2)[2], const float (&delta)[2],
                                         uint32_t q, uint32_t dout) const {
        const uint32_t k = Tile<S::HS>::descriptor(shared + S::K, S::KEYS);
        const uint32_t v = Tile<S::HS>::descriptor(shared + S::V, S::KEYS);
        int first_some, last_all, first_all, last_some;
        flash_keys_of<KIND>(p, batch, group_row, first_some, last_all);
        flash_keys_of<KIND>(p, batch, group_row + 63, first_all, last_some);
        if (group_row >= p.Tq) last_some = -1;
        Cursor<S::STAGES> c;
        for (int key = (end - 1) * S::KEYS; key >= begin * S::KEYS; key -= S::KEYS, c.advance()) {
            ring.wait(c.stage, c.parity);
            if (key > last_some || key + S::KEYS <= first_some) {
                release(c);
                continue;
            }
            const uint32_t stage = (uint32_t)(c.stage * S::TILE >> 4);
            float s[S::KEYS / 2], dp[S::KEYS / 2];
            start_scores<T, S::HS, S::KEYS, S::KEYS>(s, q, k + stage);
            start_scores<T, S::HS, S::KEYS, S::KEYS>(dp, dout, v + stage);
            FlashKept<S::KEYS> kept;
            if constexpr (KIND == FLASH_DROPOUT)
                FlashDropout(p, batch, query_head).along_keys<S::KEYS>(kept, row, key);
            group_wait<1>(s);
            if (key < first_all || key + S::KEYS - 1 > last_all) {
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    int first, last;
                    flash_keys_of<KIND>(p, batch, row + 8 * r, first, last);
                    const int column = key + (int)threadIdx.x % 4 * 2;
                    mask_row<S::KEYS, KIND>(s, r, first - column, last - column);
                }
            }
#pragma unroll
            for (int i = 0; i < S::KEYS / 2; i++)
                s[i] = flash_exp2(s[i] * p.scale2 - lse2[i / 2 % 2]);
            group_wait<0>(dp);
            if constexpr (KIND == FLASH_DROPOUT) {
#pragma unroll
                for (int i = 0; i < S::KEYS / 2; i++)
                    dp[i] = kept(i / 4, i / 2 % 2, i % 2) ? dp[i] * p.keep_scale : 0.0f;
            }
#pragma unroll
            for (int i = 0; i < S::KEYS / 2; i++) dp[i] = s[i] * (dp[i] - delta[i / 2 % 2]);
            uint32_t ds[S::KEYS / 16][4];
            pack_weights<T, S::KEYS>(ds, dp);
            start_weighted<T, S::HS, S::KEYS>(dq, ds, k + stage);
            group_wait<0>(dq);
            release(c);
        }
    }
};

template <typename T, typename S, FlashKind KIND>
__global__ void __launch_bounds__(S::THREADS, S::BLOCKS)
    flash_sm90_dq_kernel(const __grid_constant__ FlashParams p,
                         const __grid_constant__ DqMaps maps) {
    extern __shared__ __align__(1024) uint8_t memory[];
    const int h = blockIdx.x, b = blockIdx.z, block_row = (gridDim.y - 1 - blockIdx.y) * S::ROWS;
    const uint32_t shared = shared_address(memory);
    int first, last, unused;
    flash_keys_of<KIND>(p, b, block_row, first, unused);
    flash_keys_of<KIND>(p, b, min(block_row + S::ROWS, p.Tq) - 1, unused, last);
    const int begin = first / S::KEYS, end = last < first ? begin : last / S::KEYS + 1;
    const DqGroup<T, S, KIND> worker = {
        p, maps, shared, {shared + S::CONTROL + 16}, begin, end, h / p.group, b, h};
    if (threadIdx.x == 0) worker.create();
    __syncthreads();
    worker.open(block_row, h);

    const int group = group_of_thread(), group_row = block_row + 64 * group;
    const int row = group_row + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
    const uint32_t tile_q = shared + S::Q + group * Tile<S::HS>::bytes(64);
    const uint32_t tile_dout = shared + S::DOUT + group * Tile<S::HS>::bytes(64);
    float lse2[2], delta[2];
    prepare_rows<T, S::HS>(p, row, h, b, lse2, delta);
    float dq[S::HS / 2];
    clear(dq);
    barrier_wait(shared + S::CONTROL, 0);
    worker.walk(dq, group_row, row, lse2, delta, Tile<S::HS>::descriptor(tile_q, 64),
                Tile<S::HS>::descriptor(tile_dout, 64));
    if (group_row >= p.Tq) return;
    store_tile<T, S::HS>(tile_q, maps.dq, group, dq, p.scale, p.scale, group_row, h, b,
                         p.lost + (((int64_t)b * p.NH + h) * p.Tq_pad + group_row) / 16);
}

template <typename T, typename S, FlashKind KIND>
static Status launch(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    DqMaps maps;
    TRY(flash_map(&maps.q, p.q, call, call->q, call->Tq, call->NH, 64));
    TRY(flash_map(&maps.dout, p.dout, call, call->out, call->Tq, call->NH, 64));
    TRY(flash_map(&maps.k, p.k, call, call->k, call->Tk, call->NH_kv, S::KEYS));
    TRY(flash_map(&maps.v, p.v, call, call->v, call->Tk, call->NH_kv, S::KEYS));
    TRY(flash_map(&maps.dq, p.dq, call, call->q, call->Tq, call->NH, 64));
    auto kernel = flash_sm90_dq_kernel<T, S, KIND>;
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::BYTES);
    dim3 grid((unsigned)p.NH, (unsigned)((p.Tq + S::ROWS - 1) / S::ROWS),
              (unsigned)p.B); /* the longest rows first */
    kernel<<<grid, S::THREADS, S::BYTES, stream>>>(p, maps);
    return cuda_launched("flash_sm90_dq_kernel");
}

template <typename T, FlashKind KIND>
static Status launch_of(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    switch (flash_width(call->HS)) {
    case 32: return launch<T, DqShape<32, 2, 64, 4, 2>, KIND>(call, p, stream);
    case 64: return launch<T, DqShape<64, 2, 64, 3, 2>, KIND>(call, p, stream);
    case 96: return launch<T, DqShape<96, 2, 128, 2, 1>, KIND>(call, p, stream);
    case 128: return launch<T, DqShape<128, 2, 128, 2, 1>, KIND>(call, p, stream);
    default: return launch<T, DqShape<256, 2, 32, 3, 1>, KIND>(call, p, stream);
    }
}

Status flash_sm90_dq(const AttentionCall *call, const FlashParams &params, cudaStream_t stream) {
    return flash_dispatch(call, [&](auto variant) {
        using V = decltype(variant);
        return launch_of<typename V::Type, V::kind>(call, params, stream);
    });
}
