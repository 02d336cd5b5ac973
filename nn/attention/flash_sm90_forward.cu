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
 * (none). From HS 96 on three warpgroups of 168 registers share one block and its tiles. On the diagonal the upper of
 * two warpgroups needs half a tile of 128 keys, and computes half.
 *
 * Shared memory: HS 64, Q 16 KB and two stages of K and V, 80 KB a block; HS 128, Q 48 KB and two stages, 176 KB.
 * At B=64, NH=12, T=1024, HS=64 causal: 110 GFLOP are 0.11 ms at an H200's peak, 400 MB 0.10 ms, 453 M exponentials
 * 0.12 ms. Measured 0.29 ms: the issue slots are half full, about a tenth of the time goes into filling and draining
 * blocks of 4.5 tiles, and the power limit takes the clock from 1.98 to 1.74 GHz. */
#include "nn/attention/flash_sm90.cuh"

struct ForwardMaps {
    CUtensorMap q, k, v, out;
};

/* GROUPS warpgroups of 64 queries each, walking over KEYS keys at a time, STAGES of K and of V in flight. BLOCKS of
 * them share a multiprocessor. */
template <int HS_, int GROUPS_, int KEYS_, int STAGES_, int BLOCKS_>
struct ForwardShape {
    static constexpr int HS = HS_, GROUPS = GROUPS_, KEYS = KEYS_, STAGES = STAGES_, BLOCKS = BLOCKS_;
    static constexpr bool INTEGERS = HS == 64; /* saves 3% there, and costs 2% where registers are short */
    static constexpr int ROWS = 64 * GROUPS, THREADS = 128 * GROUPS, TILE = Tile<HS>::bytes(KEYS);
    static constexpr int Q = 0, K = Tile<HS>::bytes(ROWS), V = K + STAGES * TILE, CONTROL = V + STAGES * TILE;
    using Tiles = Ring<STAGES, 4 * GROUPS>;
    static constexpr int BYTES = CONTROL + 16 + 2 * Tiles::CONTROL_BYTES;
};

/* Key tiles [begin, end) that rows [row, row + count) need. */
struct KeyTiles {
    int begin, end;
    __device__ __forceinline__ KeyTiles(const FlashParams &p, int row, int count, int keys) {
        int first, last, unused;
        flash_keys_of(p, row, first, unused);
        flash_keys_of(p, min(row + count, p.Tq) - 1, unused, last);
        begin = first / keys;
        end = last < first || row >= p.Tq ? begin : last / keys + 1;
    }
};

/* The walk's tiles in shared memory: a ring of K and a ring of V. */
template <typename S>
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

    __device__ __forceinline__ void load(uint32_t tiles, const CUtensorMap &map, uint32_t full, int at,
                                         int stage) const {
        if (end - 1 - at < begin) return;
        barrier_expect(full, S::TILE);
        load_tile<S::HS, S::KEYS>(tiles + stage * S::TILE, map, full, (end - 1 - at) * S::KEYS, head, batch);
    }

    __device__ __forceinline__ void load_k(int at, int stage) const {
        load(shared + S::K, maps.k, k().full(stage), at, stage);
    }

    __device__ __forceinline__ void load_v(int at, int stage) const {
        load(shared + S::V, maps.v, v().full(stage), at, stage);
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
        if (threadIdx.x == 32) load_k(0, 0);
        if (threadIdx.x == 64) load_v(0, 0);
        if (threadIdx.x == 96)
            for (int at = 1; at < S::STAGES; at++) load_k(at, at), load_v(at, at);
    }

    __device__ __forceinline__ void release_k(int at, int stage) const {
        if (k().release(stage)) load_k(at + S::STAGES, stage);
    }

    __device__ __forceinline__ void release_v(int at, int stage) const {
        if (v().release(stage)) load_v(at + S::STAGES, stage);
    }
};

/* The running softmax of the two rows that a lane shares: maxima of the unscaled scores, sums of the weights. */
struct RowState {
    float maximum[2], sum[2], correction[2];
};

/* The maxima of the two rows that a lane shares, seen and new. Floats that are not negative are ordered like integers,
 * of which one instruction takes the maximum of three: half the instructions. A warp with a row that has only negative
 * scores, whose integer maximum is then negative too, takes the other way. */
template <int KEYS, bool INTEGERS>
__device__ __forceinline__ void row_maxima(const float (&s)[KEYS / 2], const float (&seen)[2], float (&maximum)[2]) {
    if constexpr (INTEGERS) {
        int fast[2] = {__float_as_int(seen[0]), __float_as_int(seen[1])};
#pragma unroll
        for (int i = 0; i < KEYS / 2; i += 2)
            fast[i / 2 % 2] = __vimax3_s32(fast[i / 2 % 2], __float_as_int(s[i]), __float_as_int(s[i + 1]));
#pragma unroll
        for (int r = 0; r < 2; r++) {
            fast[r] = max(fast[r], __shfl_xor_sync(0xFFFFFFFFu, fast[r], 1));
            fast[r] = max(fast[r], __shfl_xor_sync(0xFFFFFFFFu, fast[r], 2));
            maximum[r] = __int_as_float(fast[r]);
        }
        if (!__any_sync(0xFFFFFFFFu, (fast[0] | fast[1]) < 0)) return;
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        maximum[r] = seen[r];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
            maximum[r] = fmaxf(maximum[r], fmaxf(s[4 * n + 2 * r], s[4 * n + 2 * r + 1]));
        maximum[r] = flash_quad_max(maximum[r]);
    }
}

/* Scores become weights relative to the rows' new maxima. */
template <int KEYS, bool INTEGERS>
__device__ __forceinline__ void weigh_scores(float (&s)[KEYS / 2], float scale2, RowState &state) {
    float maximum[2];
    row_maxima<KEYS, INTEGERS>(s, state.maximum, maximum);
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = 0.0f;
        const float base = maximum[r] == -FLASH_INF ? 0.0f : maximum[r] * scale2;
        state.correction[r] = flash_exp2(state.maximum[r] * scale2 - base);
        state.maximum[r] = maximum[r];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int e = 2 * r; e < 2 * r + 2; e++) {
                s[4 * n + e] = flash_exp2(s[4 * n + e] * scale2 - base);
                sum += s[4 * n + e];
            }
        state.sum[r] = state.sum[r] * state.correction[r] + sum;
    }
}

template <int HS>
__device__ __forceinline__ void rescale(float (&out)[HS / 2], const RowState &state) {
#pragma unroll
    for (int n = 0; n < HS / 2; n++) out[n] *= state.correction[n / 2 % 2];
}

/* What one warpgroup does: its 64 rows against every tile of the block's walk. */
template <typename T, typename S>
struct ForwardGroup {
    const FlashParams &p;
    const ForwardTiles<S> &tiles;
    uint32_t q, k, v;          /* descriptors; of stage 0 */
    int row;                   /* this lane's upper row */
    int first_all, last_all;   /* keys that every row of the group sees */
    int first_some, last_some; /* keys that some row sees; empty where the group has no rows */

    __device__ __forceinline__ bool needs(int key) const { return key <= last_some && key + S::KEYS > first_some; }

    template <int N>
    __device__ __forceinline__ void start_qk(float (&s)[N / 2], const Cursor<S::STAGES> &c) const {
        tiles.k().wait(c.stage, c.parity);
        start_scores<T, S::HS, S::KEYS, N>(s, q, k + (uint32_t)(c.stage * S::TILE >> 4));
    }

    template <int N>
    __device__ __forceinline__ void start_pv(float (&out)[S::HS / 2], const uint32_t (&w)[N / 16][4],
                                             const Cursor<S::STAGES> &c) const {
        tiles.v().wait(c.stage, c.parity);
        start_weighted<T, S::HS, N>(out, w, v + (uint32_t)(c.stage * S::TILE >> 4));
    }

    __device__ __forceinline__ void skip(const Cursor<S::STAGES> &c) const {
        tiles.k().wait(c.stage, c.parity), tiles.release_k(c.at, c.stage);
        tiles.v().wait(c.stage, c.parity), tiles.release_v(c.at, c.stage);
    }

    template <int N>
    __device__ __forceinline__ void weigh(float (&s)[N / 2], RowState &state, int key) const {
        if (key < first_all || key + N - 1 > last_all) {
            const int column = key + (int)threadIdx.x % 4 * 2;
#pragma unroll
            for (int r = 0; r < 2; r++) {
                int first, last;
                flash_keys_of(p, row + 8 * r, first, last);
                mask_row<N>(s, r, first - column, last - column);
            }
        }
        weigh_scores<N, S::INTEGERS>(s, p.scale2, state);
    }

    template <int N>
    __device__ __forceinline__ void step(float (&out)[S::HS / 2], RowState &state, const Cursor<S::STAGES> &c,
                                         int key) const {
        float s[N / 2];
        uint32_t w[N / 16][4];
        start_qk<N>(s, c);
        group_wait<0>(s);
        weigh<N>(s, state, key);
        rescale<S::HS>(out, state);
        pack_weights<T, N>(w, s);
        start_pv<N>(out, w, c);
        tiles.release_k(c.at, c.stage);
        group_wait<0>(out);
        tiles.release_v(c.at, c.stage);
    }

    /* One tile after the other: other warpgroups fill the tensor cores meanwhile. On the diagonal half a tile may do.
     */
    __device__ __forceinline__ void walk(float (&out)[S::HS / 2], RowState &state) const {
        Cursor<S::STAGES> c;
        for (int n = tiles.end - 1; n >= tiles.begin; n--, c.advance()) {
            const int key = n * S::KEYS;
            if (!needs(key))
                skip(c);
            else if (key + S::KEYS / 2 > last_some)
                step<S::KEYS / 2>(out, state, c, key);
            else
                step<S::KEYS>(out, state, c, key);
        }
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

template <typename T, typename S>
__global__ void __launch_bounds__(S::THREADS, S::BLOCKS)
    flash_sm90_forward_kernel(const __grid_constant__ FlashParams p, const __grid_constant__ ForwardMaps maps) {
    extern __shared__ __align__(1024) uint8_t memory[];
    const int h = blockIdx.y, b = blockIdx.z, block_row = (gridDim.x - 1 - blockIdx.x) * S::ROWS;
    const KeyTiles walk(p, block_row, S::ROWS, S::KEYS);
    const ForwardTiles<S> tiles = {p, maps, shared_address(memory), walk.begin, walk.end, h / p.group, b};
    if (threadIdx.x == 0) tiles.create();
    __syncthreads();
    tiles.open(block_row, h);

    const int group = threadIdx.x / 128, group_row = block_row + 64 * group;
    const int row = group_row + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
    const uint32_t tile_q = tiles.shared + S::Q + group * Tile<S::HS>::bytes(64);
    ForwardGroup<T, S> worker = {p,
                                 tiles,
                                 Tile<S::HS>::descriptor(tile_q, 64),
                                 Tile<S::HS>::descriptor(tiles.shared + S::K, S::KEYS),
                                 Tile<S::HS>::descriptor(tiles.shared + S::V, S::KEYS),
                                 row};
    int unused;
    flash_keys_of(p, group_row, worker.first_some, worker.last_all);
    flash_keys_of(p, group_row + 63, worker.first_all, unused);
    flash_keys_of(p, min(group_row + 63, p.Tq - 1), unused, worker.last_some);
    if (group_row >= p.Tq) worker.last_some = -1;
    float out[S::HS / 2];
    clear(out);
    RowState state = {{-FLASH_INF, -FLASH_INF}, {0.0f, 0.0f}, {0.0f, 0.0f}};
    barrier_wait(tiles.q_full(), 0);
    worker.walk(out, state);
    finish_rows(p, (int64_t)b * p.NH + h, row, state);
    if (group_row < p.Tq)
        store_tile<T, S::HS>(tile_q, maps.out, group, out, state.sum[0], state.sum[1], group_row, h, b);
}

template <typename T, typename S>
static Status launch(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    ForwardMaps maps;
    TRY(flash_map(&maps.q, p.q, call, call->q, call->Tq, call->NH, 64));
    TRY(flash_map(&maps.k, p.k, call, call->k, call->Tk, call->NH_kv, S::KEYS));
    TRY(flash_map(&maps.v, p.v, call, call->v, call->Tk, call->NH_kv, S::KEYS));
    TRY(flash_map(&maps.out, p.out, call, call->out, call->Tq, call->NH, 64));
    auto kernel = flash_sm90_forward_kernel<T, S>;
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::BYTES);
    dim3 grid((unsigned)((p.Tq + S::ROWS - 1) / S::ROWS), (unsigned)p.NH, (unsigned)p.B);
    kernel<<<grid, S::THREADS, S::BYTES, stream>>>(p, maps);
    return flash_launched("flash_sm90_forward_kernel");
}

template <typename T>
static Status launch_of(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    switch (call->HS) {
    case 32: return launch<T, ForwardShape<32, 2, 128, 3, 2>>(call, p, stream);
    case 64: return launch<T, ForwardShape<64, 2, 128, 2, 2>>(call, p, stream);
    case 96: return launch<T, ForwardShape<96, 3, 128, 2, 1>>(call, p, stream);
    default: return launch<T, ForwardShape<128, 3, 128, 2, 1>>(call, p, stream);
    }
}

const char *flash_sm90_refuses(const AttentionCall *call, int sm) {
    if (sm != 90) return "needs sm_90";
    if (call->HS != 32 && call->HS != 64 && call->HS != 96 && call->HS != 128) return "needs HS 32, 64, 96 or 128";
    if (call->dropout > 0.0) return "has no dropout";
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
    if (call->dtype == DTYPE_BF16) return launch_of<__nv_bfloat16>(call, params, (cudaStream_t)cuda_stream);
    return launch_of<__half>(call, params, (cudaStream_t)cuda_stream);
}
