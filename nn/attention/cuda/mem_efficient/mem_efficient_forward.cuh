/* Memory-efficient attention forward, over an engine.
 *
 * A block owns Engine::ROWS queries of one head and iterates over the tiles of N keys that they
 * see, with online softmax (arXiv:2307.08691, algorithm 1) in base 2. K and V stream through shared
 * memory, in two stages if it is large enough. Tiles that are fully visible need no mask. Longest
 * rows first, so that a causal grid ends evenly.
 *
 * Counted at B=64, NH=12, T=1024, HS=64, causal: 110 GFLOP with the tiles on the diagonal, 400 MB
 * in 16 bits; 104,448 tiles of 64 x 64, 791 per multiprocessor of an H200. A tile costs it in 16
 * bits (16 rows per warp, Q in fragments): 205 cycles of mma.sync, 512 of ldmatrix (4 warps x 32 x
 * 512 bytes), 256 of exponentials, about 330 issue slots. Were all of it hidden behind the largest,
 * 0.24 ms at 1.7 GHz; their sum is 0.6. Measured 0.55, and the same with 32 rows per warp, which
 * reads half as much and leaves two blocks per multiprocessor instead of four. In f32: 2 * 64^3
 * multiply-adds at 128 a cycle, 4096 cycles or 1.9 ms; measured 3.3. */
#pragma once

#include "nn/attention/cuda/mem_efficient/mem_efficient_dropout.cuh"

template <typename Engine>
constexpr int efficient_forward_bytes() {
    return (Engine::ROWS + 2 * Engine::N * Engine::STAGES) * Engine::PITCH + Engine::SCRATCH;
}

/* Online softmax of a thread's rows: the maxima of their scores, scaled only by the sign of the
 * scale, and its part of the sums of their weights. */
template <typename Engine>
struct RunningSoftmax {
    float maximum[Engine::R], sum[Engine::R];
    int first[Engine::R], last[Engine::R]; /* the keys of each row */

    __device__ __forceinline__ RunningSoftmax(const EfficientParams &p, int b, int block_row) {
#pragma unroll
        for (int r = 0; r < Engine::R; r++) {
            maximum[r] = -FLASH_INF, sum[r] = 0.0f;
            efficient_keys_of(p, b, block_row + Engine::row(r), first[r], last[r]);
        }
    }

    /* Turns scores into weights relative to the new maxima, and rescales the previous sums. */
    template <bool MASKED>
    __device__ __forceinline__ void step(typename Engine::Scores &s, typename Engine::Sums &sums,
                                         const EfficientParams &p, int key) {
#pragma unroll
        for (int r = 0; r < Engine::R; r++) {
            float top = maximum[r];
#pragma unroll
            for (int c = 0; c < Engine::C; c++) {
                float &x = s.at(r, c);
                const int j = key + Engine::column(c);
                x = MASKED && (j < first[r] || j > last[r]) ? -FLASH_INF : x * p.sign;
                top = fmaxf(top, x);
            }
            top = Engine::row_max(top);
            FlashBase b = flash_base(p.abs_scale2, maximum[r], top);
            if (__any_sync(0xFFFFFFFFu, flash_is_large(p, top))) {
                b = flash_base_large(p, p.abs_scale2, maximum[r], top);
#pragma unroll
                for (int c = 0; c < Engine::C; c++) s.at(r, c) -= b.shift;
            }
            float added = 0.0f;
#pragma unroll
            for (int c = 0; c < Engine::C; c++) {
                float &x = s.at(r, c);
                x = flash_exp2(x * p.abs_scale2 - b.base);
                added += x;
            }
            maximum[r] = top, sum[r] = sum[r] * b.correction + added;
#pragma unroll
            for (int d = 0; d < Engine::D; d++) sums.at(r, d) *= b.correction;
        }
    }

    /* Writes lse and stores in `factor` the factor for the sums. */
    __device__ __forceinline__ void finish(const EfficientParams &p, int64_t head, int block_row,
                                           float (&factor)[Engine::R]) {
#pragma unroll
        for (int r = 0; r < Engine::R; r++) {
            const float total = Engine::row_sum(sum[r]);
            const int i = block_row + Engine::row(r);
            if (p.lse != nullptr && Engine::is_first_of_row() && i < p.Tq)
                flash_keep(p, head, i, maximum[r], flash_log2_of(p, maximum[r], total),
                           last[r] < first[r]);
            factor[r] = flash_inverse(total, last[r] < first[r]);
        }
    }
};

template <typename Engine>
__device__ __forceinline__ void weights_drop(const EfficientParams &p, const EfficientDropout &mask,
                                             typename Engine::Scores &s, int block_row, int key) {
    uint32_t bits[Engine::R];
    KeptBits<Engine, true>{p, mask, block_row, key}.fill(bits);
#pragma unroll
    for (int r = 0; r < Engine::R; r++)
#pragma unroll
        for (int c = 0; c < Engine::C; c++)
            s.at(r, c) = bits[r] >> c & 1 ? s.at(r, c) * p.keep_scale : 0.0f;
}

template <typename Engine, bool DROPOUT>
__device__ __forceinline__ void efficient_forward(const EfficientParams &p, char *shared) {
    using T = typename Engine::Memory;
    using S = typename Engine::Tile;
    constexpr int N = Engine::N, STAGES = Engine::STAGES, HS = Engine::HS,
                  THREADS = Engine::THREADS;
    constexpr int TILE = N * Engine::PITCH;
    char *tile_q = shared, *tile_k = tile_q + Engine::ROWS * Engine::PITCH,
         *tile_v = tile_k + STAGES * TILE;
    char *scratch = tile_v + STAGES * TILE;
    const int h = blockIdx.y, b = blockIdx.z,
              block_row = (gridDim.x - 1 - blockIdx.x) * Engine::ROWS;
    const T *k = (const T *)p.k + b * p.lk.batch + h / p.group * p.lk.head;
    const T *v = (const T *)p.v + b * p.lv.batch + h / p.group * p.lv.head;
    const Walk walk(block_row, min(block_row + Engine::ROWS, p.Tq) - 1, N,
                    [&](int i, int &first, int &last) { efficient_keys_of(p, b, i, first, last); });

    auto load_keys = [&](int n) {
        tile_load<S, T, HS, N, THREADS>(p, tile_k + n % STAGES * TILE, k, p.lk.token, n * N, p.Tk);
        tile_load<S, T, HS, N, THREADS>(p, tile_v + n % STAGES * TILE, v, p.lv.token, n * N, p.Tk);
        tiles_commit();
    };
    tile_load<S, T, HS, Engine::ROWS, THREADS>(
        p, tile_q, (const T *)p.q + b * p.lq.batch + h * p.lq.head, p.lq.token, block_row, p.Tq);
    tiles_commit();
    if (walk.begin < walk.end)
        load_keys(walk.begin);
    else
        tiles_commit();
    RunningSoftmax<Engine> softmax(p, b, block_row);
    tiles_wait<1>();
    __syncthreads();
    typename Engine::Left q;
    q.load(tile_q);
    typename Engine::Sums sums = {};
    for (int n = walk.begin; n < walk.end; n++) {
        if (STAGES > 1 && n + 1 < walk.end) {
            load_keys(n + 1);
            tiles_wait<1>();
        } else {
            tiles_wait<0>();
        }
        __syncthreads();
        typename Engine::Scores s;
        Engine::product_rows(s, q, tile_k + n % STAGES * TILE);
        if (walk.is_full(n * N, N))
            softmax.template step<false>(s, sums, p, n * N);
        else
            softmax.template step<true>(s, sums, p, n * N);
        if constexpr (DROPOUT)
            weights_drop<Engine>(p, EfficientDropout(p, b, h), s, block_row, n * N);
        Engine::product_weights(sums, s, tile_v + n % STAGES * TILE, scratch);
        __syncthreads();
        if (STAGES == 1 && n + 1 < walk.end) load_keys(n + 1);
    }
    float factor[Engine::R];
    softmax.finish(p, (int64_t)b * p.NH + h, block_row, factor);
    T *to = (T *)p.out + b * p.lo.batch + h * p.lo.head;
    sums_store<Engine>(p, to, p.lo.token, block_row, p.Tq, sums, factor, [&](int i) {
        int first, last;
        efficient_keys_of(p, b, i, first, last);
        call_out<T, DROPOUT>(p, p.HS, b, h, i, first, last, to + i * p.lo.token);
    });
}

template <typename Engine, bool DROPOUT>
__global__ void __launch_bounds__(Engine::THREADS,
                                  DROPOUT ? Engine::FORWARD_DROPOUT_BLOCKS : Engine::FORWARD_BLOCKS)
    mem_efficient_forward_kernel(const __grid_constant__ EfficientParams p) {
    extern __shared__ uint4 shared[];
    if constexpr (Engine::COMPILES) efficient_forward<Engine, DROPOUT>(p, (char *)shared);
}
