/* Memory-efficient attention backward, over an engine: two passes that share only their inputs, so
 * no atomics are needed and the result is bitwise reproducible.
 *
 *   dkdv   a block owns keys and iterates over the queries that see them, of every query head of
 *          the group: it computes St = K Qt and dPt = V dOt, then dV += Pt dO and dK += dSt Q
 *   dq     a block owns queries and iterates over their keys: S = Q Kt, dP = dO Vt, dQ += dS K
 *
 *          P = exp2(scale2 S - lse2),  dS = P (dP - delta),  delta = rowsum(dO * out)
 *
 * Dropout applies to P and dP alike.
 *
 * Seven products instead of the five of one fused pass, which would add dQ atomically in f32, zero
 * it before and convert it after. At B=64, NH=12, T=1024, HS=64, causal: 390 GFLOP with the tiles
 * on the diagonal. A tile of 64 x 64 costs a multiprocessor, in 16 bits with 16 rows per warp and
 * left operands in fragments: dkdv 410 cycles of mma.sync, 1024 of ldmatrix, dq 307 and 768, each
 * 256 of exponentials: 0.83 ms at 1.7 GHz where loads from shared memory hide all else. Measured:
 * dkdv 0.97 ms, dq 0.68. 32 rows per warp read less, but fill the registers: 0.94 and 0.70. */
#pragma once

#include "nn/attention/cuda/mem_efficient/mem_efficient_dropout.cuh"

template <typename Engine>
constexpr int efficient_dq_bytes() {
    return (2 * Engine::ROWS + 2 * Engine::N * Engine::STAGES) * Engine::PITCH + Engine::SCRATCH;
}

/* In addition to the tiles: lse2 and delta of the queries of each stage. */
template <typename Engine>
constexpr int efficient_dkdv_bytes() {
    return efficient_dq_bytes<Engine>() + 2 * Engine::N * Engine::STAGES * 4;
}

/* dS and the applied weights of one tile: s becomes P (after dropout), dp becomes dS. row, column:
 * of the tile's corner; rows are queries if BY_QUERY, otherwise keys. */
template <typename Engine, bool BY_QUERY, bool DROPOUT>
struct TileGradient {
    const EfficientParams &p;
    const EfficientDropout &mask;
    const int (&first)[Engine::R],
        (&last)[Engine::R]; /* visible elements of each of the thread's rows */
    int row, column;

    __device__ __forceinline__ void element(float &s, float &dp, bool hidden, bool keep, float lse2,
                                            float delta) const {
        const float weight = hidden ? 0.0f : flash_exp2(s * p.scale2 - lse2);
        s = weight;
        if constexpr (DROPOUT) {
            s = keep ? weight * p.keep_scale : 0.0f;
            dp = keep ? dp * p.keep_scale : 0.0f;
        }
        dp = weight * (dp - delta);
    }

    /* lse2 and delta: of the thread's rows if BY_QUERY, otherwise of the tile's columns. */
    template <bool MASKED>
    __device__ __forceinline__ void run(typename Engine::Scores &s, typename Engine::Scores &dp,
                                        const float *lse2, const float *delta) const {
        uint32_t bits[Engine::R];
        if constexpr (DROPOUT) KeptBits<Engine, BY_QUERY>{p, mask, row, column}.fill(bits);
#pragma unroll
        for (int c = 0; c < Engine::C; c++) {
            const int j = column + Engine::column(c);
            const int at = BY_QUERY ? 0 : Engine::column(c);
            const float lse2_c = BY_QUERY ? 0.0f : lse2[at], delta_c = BY_QUERY ? 0.0f : delta[at];
#pragma unroll
            for (int r = 0; r < Engine::R; r++) {
                const bool hidden = MASKED && (j < first[r] || j > last[r]);
                element(s.at(r, c), dp.at(r, c), hidden, DROPOUT && bits[r] >> c & 1,
                        BY_QUERY ? lse2[r] : lse2_c, BY_QUERY ? delta[r] : delta_c);
            }
        }
    }
};

/* Subtracts the row's maximum from the scores of rows with a large lse. */
template <typename Engine>
__device__ __forceinline__ void rows_shift(const EfficientParams &p, typename Engine::Scores &s,
                                           int64_t head, int block_row) {
#pragma unroll
    for (int r = 0; r < Engine::R; r++) {
        const int i = block_row + Engine::row(r);
        float lse2 = p.lse2[head * p.Tq_pad + i];
        const float shift = flash_shift(p, head, i, lse2);
#pragma unroll
        for (int c = 0; c < Engine::C; c++) s.at(r, c) -= shift;
    }
}

template <typename Engine, bool DROPOUT>
__device__ __forceinline__ void efficient_dq(const EfficientParams &p, char *shared) {
    using T = typename Engine::Memory;
    using S = typename Engine::Tile;
    constexpr int N = Engine::N, STAGES = Engine::STAGES, HS = Engine::HS,
                  THREADS = Engine::THREADS;
    constexpr int ROWS = Engine::ROWS, R = Engine::R, TILE = N * Engine::PITCH;
    char *tile_q = shared, *tile_do = tile_q + ROWS * Engine::PITCH,
         *tile_k = tile_do + ROWS * Engine::PITCH;
    char *tile_v = tile_k + STAGES * TILE, *scratch = tile_v + STAGES * TILE;
    const int h = blockIdx.y, b = blockIdx.z, block_row = (gridDim.x - 1 - blockIdx.x) * ROWS;
    const T *k = (const T *)p.k + b * p.lk.batch + h / p.group * p.lk.head;
    const T *v = (const T *)p.v + b * p.lv.batch + h / p.group * p.lv.head;
    const Walk walk(block_row, min(block_row + ROWS, p.Tq) - 1, N,
                    [&](int i, int &first, int &last) { efficient_keys_of(p, b, i, first, last); });

    auto load_keys = [&](int n) {
        tile_load<S, T, HS, N, THREADS>(p, tile_k + n % STAGES * TILE, k, p.lk.token, n * N, p.Tk);
        tile_load<S, T, HS, N, THREADS>(p, tile_v + n % STAGES * TILE, v, p.lv.token, n * N, p.Tk);
        tiles_commit();
    };
    tile_load<S, T, HS, ROWS, THREADS>(p, tile_q, (const T *)p.q + b * p.lq.batch + h * p.lq.head,
                                       p.lq.token, block_row, p.Tq);
    tile_load<S, T, HS, ROWS, THREADS>(p, tile_do,
                                       (const T *)p.dout + b * p.lo.batch + h * p.lo.head,
                                       p.lo.token, block_row, p.Tq);
    tiles_commit();
    if (walk.begin < walk.end)
        load_keys(walk.begin);
    else
        tiles_commit();
    int first[R], last[R];
    float lse2[R], delta[R], factor[R];
    bool large = false;
#pragma unroll
    for (int r = 0; r < R; r++) {
        const int i = block_row + Engine::row(r);
        const int64_t at = ((int64_t)b * p.NH + h) * p.Tq_pad + i;
        efficient_keys_of(p, b, i, first[r], last[r]);
        lse2[r] = p.lse2[at], delta[r] = p.delta[at], factor[r] = p.scale;
        large |= lse2[r] == -FLASH_INF;
        (void)flash_shift(p, (int64_t)b * p.NH + h, i, lse2[r]);
    }
    large = __any_sync(0xFFFFFFFFu, large);
    tiles_wait<1>();
    __syncthreads();
    typename Engine::Left q, dout;
    q.load(tile_q);
    dout.load(tile_do);
    const EfficientDropout mask(p, b, h);
    typename Engine::Sums dq = {};
    for (int n = walk.begin; n < walk.end; n++) {
        if (STAGES > 1 && n + 1 < walk.end) {
            load_keys(n + 1);
            tiles_wait<1>();
        } else {
            tiles_wait<0>();
        }
        __syncthreads();
        const char *now_k = tile_k + n % STAGES * TILE, *now_v = tile_v + n % STAGES * TILE;
        typename Engine::Scores s, dp;
        Engine::product_rows(s, q, now_k);
        Engine::product_rows(dp, dout, now_v);
        if (large) rows_shift<Engine>(p, s, (int64_t)b * p.NH + h, block_row);
        const TileGradient<Engine, true, DROPOUT> gradient = {p,    mask,      first,
                                                              last, block_row, n * N};
        if (walk.is_full(n * N, N))
            gradient.template run<false>(s, dp, lse2, delta);
        else
            gradient.template run<true>(s, dp, lse2, delta);
        Engine::product_weights(dq, dp, now_k, scratch);
        __syncthreads();
        if (STAGES == 1 && n + 1 < walk.end) load_keys(n + 1);
    }
    T *to = (T *)p.dq + b * p.lq.batch + h * p.lq.head;
    sums_store<Engine>(p, to, p.lq.token, block_row, p.Tq, dq, factor, [&](int i) {
        int low, high;
        efficient_keys_of(p, b, i, low, high);
        call_dq<T, DROPOUT>(p, p.HS, b, h, i, low, high, to + i * p.lq.token);
    });
}

/* For queries of the tile with a large lse: subtracts the maximum from the scores, and sets lse2 to
 * the log of the sum, in the shared tile, which only this block reads. Called by every thread of
 * the block or by none. */
template <typename Engine>
__device__ __forceinline__ void columns_shift(const EfficientParams &p, typename Engine::Scores &s,
                                              int64_t head, int i, float *lse2) {
#pragma unroll
    for (int c = 0; c < Engine::C; c++) {
        const int at = Engine::column(c);
        float unused = lse2[at];
        const float shift = flash_shift(p, head, i + at, unused);
#pragma unroll
        for (int r = 0; r < Engine::R; r++) s.at(r, c) -= shift;
    }
    __syncthreads();
    for (int at = threadIdx.x; at < Engine::N; at += Engine::THREADS)
        (void)flash_shift(p, head, i + at, lse2[at]);
    __syncthreads();
}

template <typename Engine, bool DROPOUT>
__device__ __forceinline__ void efficient_dkdv(const EfficientParams &p, char *shared) {
    using T = typename Engine::Memory;
    using S = typename Engine::Tile;
    constexpr int N = Engine::N, STAGES = Engine::STAGES, HS = Engine::HS,
                  THREADS = Engine::THREADS;
    constexpr int ROWS = Engine::ROWS, R = Engine::R, TILE = N * Engine::PITCH;
    char *tile_k = shared, *tile_v = tile_k + ROWS * Engine::PITCH,
         *tile_q = tile_v + ROWS * Engine::PITCH;
    char *tile_do = tile_q + STAGES * TILE, *scratch = tile_do + STAGES * TILE,
         *rows = scratch + Engine::SCRATCH;
    const int head_kv = blockIdx.y, b = blockIdx.z, block_row = blockIdx.x * ROWS;
    const Walk walk(
        block_row, min(block_row + ROWS, p.Tk) - 1, N,
        [&](int j, int &first, int &last) { efficient_queries_of(p, b, j, first, last); });
    const int steps = walk.end - walk.begin, total = steps * p.group;

    auto load_queries = [&](int step) {
        const int h = head_kv * p.group + step / steps, i = (walk.begin + step % steps) * N,
                  stage = step % STAGES;
        tile_load<S, T, HS, N, THREADS>(p, tile_q + stage * TILE,
                                        (const T *)p.q + b * p.lq.batch + h * p.lq.head, p.lq.token,
                                        i, p.Tq);
        tile_load<S, T, HS, N, THREADS>(p, tile_do + stage * TILE,
                                        (const T *)p.dout + b * p.lo.batch + h * p.lo.head,
                                        p.lo.token, i, p.Tq);
        const int64_t at = ((int64_t)b * p.NH + h) * p.Tq_pad + i;
        const int lane = threadIdx.x % (N / 4) * 4;
        if (threadIdx.x < N / 2)
            copy_or_zero<16>(rows + (stage * 2 * N + (int)threadIdx.x * 4) * 4,
                             (const char *)((threadIdx.x < N / 4 ? p.lse2 : p.delta) + at + lane),
                             true);
        tiles_commit();
    };
    tile_load<S, T, HS, ROWS, THREADS>(p, tile_k,
                                       (const T *)p.k + b * p.lk.batch + head_kv * p.lk.head,
                                       p.lk.token, block_row, p.Tk);
    tile_load<S, T, HS, ROWS, THREADS>(p, tile_v,
                                       (const T *)p.v + b * p.lv.batch + head_kv * p.lv.head,
                                       p.lv.token, block_row, p.Tk);
    tiles_commit();
    if (total > 0)
        load_queries(0);
    else
        tiles_commit();
    int first[R], last[R];
    float scale[R], one[R];
#pragma unroll
    for (int r = 0; r < R; r++) {
        efficient_queries_of(p, b, block_row + Engine::row(r), first[r], last[r]);
        scale[r] = p.scale, one[r] = 1.0f;
    }
    tiles_wait<1>();
    __syncthreads();
    typename Engine::Left k, v;
    k.load(tile_k);
    v.load(tile_v);
    typename Engine::Sums dk = {}, dv = {};
    for (int step = 0; step < total; step++) {
        if (STAGES > 1 && step + 1 < total) {
            load_queries(step + 1);
            tiles_wait<1>();
        } else {
            tiles_wait<0>();
        }
        __syncthreads();
        const int h = head_kv * p.group + step / steps, i = (walk.begin + step % steps) * N,
                  stage = step % STAGES;
        const char *now_q = tile_q + stage * TILE, *now_do = tile_do + stage * TILE;
        float *lse2 = (float *)rows + stage * 2 * N;
        typename Engine::Scores s, dp;
        Engine::product_rows(s, k, now_q);
        Engine::product_rows(dp, v, now_do);
        const EfficientDropout mask(p, b, h);
        const TileGradient<Engine, false, DROPOUT> gradient = {p, mask, first, last, block_row, i};
        if (has_large<N>(lse2)) columns_shift<Engine>(p, s, (int64_t)b * p.NH + h, i, lse2);
        if (walk.is_full(i, N))
            gradient.template run<false>(s, dp, lse2, lse2 + N);
        else
            gradient.template run<true>(s, dp, lse2, lse2 + N);
        Engine::product_weights(dv, s, now_do, scratch);
        Engine::product_weights(dk, dp, now_q, scratch);
        __syncthreads();
        if (STAGES == 1 && step + 1 < total) load_queries(step + 1);
    }
    T *to_k = (T *)p.dk + b * p.lk.batch + head_kv * p.lk.head,
      *to_v = (T *)p.dv + b * p.lv.batch + head_kv * p.lv.head;
    auto remake = [&](bool of_k) { /* the warp's own columns */
                                   return [&, of_k](int j) {
                                       int low, high;
                                       efficient_queries_of(p, b, j, low, high);
                                       T *to = of_k ? to_k + j * p.lk.token : to_v + j * p.lv.token;
                                       call_dkdv<T, DROPOUT>(p, p.HS, b, head_kv, j, low, high,
                                                             of_k, to, Engine::first_column(),
                                                             Engine::first_column() +
                                                                 Engine::OWN_COLUMNS);
                                   };
    };
    sums_store<Engine>(p, to_k, p.lk.token, block_row, p.Tk, dk, scale, remake(true));
    sums_store<Engine>(p, to_v, p.lv.token, block_row, p.Tk, dv, one, remake(false));
}

template <typename Engine, bool DROPOUT>
__global__ void __launch_bounds__(Engine::THREADS, DROPOUT ? 1 : Engine::DQ_BLOCKS)
    mem_efficient_dq_kernel(const __grid_constant__ EfficientParams p) {
    extern __shared__ uint4 shared[];
    if constexpr (Engine::COMPILES) efficient_dq<Engine, DROPOUT>(p, (char *)shared);
}

template <typename Engine, bool DROPOUT>
__global__ void __launch_bounds__(Engine::THREADS, 1)
    mem_efficient_dkdv_kernel(const __grid_constant__ EfficientParams p) {
    extern __shared__ uint4 shared[];
    if constexpr (Engine::COMPILES) efficient_dkdv<Engine, DROPOUT>(p, (char *)shared);
}
