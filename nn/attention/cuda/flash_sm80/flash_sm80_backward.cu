/* Flash attention backward by mma.sync (sm_80 and later), in two passes that share only their
 * inputs, so no atomics are needed and the result is bitwise reproducible:
 *
 * dkdv: a block owns 64 keys and iterates over the queries that see them (of every query head of
 * the group). It computes St = K Qt and dPt = V dOt, so that Pt and dSt leave the accumulators as
 * the left operands of dV += Pt dO and dK += dSt Q, without a trip through shared memory.
 *
 * dq: a block owns 64 queries and iterates over their keys: S = Q Kt, dP = dO Vt, dQ += dS K.
 *
 *          P = exp2(scale2 S - lse2),  dS = P (dP - delta),  delta = rowsum(dO * out)
 *
 * Dropout applies to P and dP alike.
 *
 * Seven products instead of the five of a fused pass, against f32 atomics on dQ, their zeroing and
 * their conversion. Tiles: 64 x 64 up to HS 64, 64 x 32 above (registers: two HS-wide accumulators
 * in dkdv). At HS 256 eight warps work in pairs on the same keys, each holding half of the columns
 * of dK and dV, and both passes use one stage. Shared memory at HS 64: dkdv (2 * 64 + 4 * 64) * 144
 * = 55 KB, dq the same. At B=64, NH=12, T=1024, HS=64 causal: 390 GFLOP with the tiles on the
 * diagonal, 0.8 ms at half of an H200's peak; measured 1.93 ms. */
#include "nn/attention/attention.h"
#include "nn/attention/cuda/flash_sm80/flash_sm80.cuh"

constexpr int ROWS = 64; /* keys of a dkdv block, queries of a dq block: 16 per warp */

__host__ __device__ constexpr int columns(int hs) {
    return hs > 64 ? 32 : 64;
} /* rows of the tiles that a block iterates over */
__host__ __device__ constexpr int stages(int hs) { return hs > 128 ? 1 : 2; }
__host__ __device__ constexpr int split(int hs) {
    return hs > 128 ? 2 : 1;
} /* warps that share 16 keys in dkdv */
__host__ __device__ constexpr int tile_bytes(int hs) {
    return (2 * ROWS + 2 * columns(hs) * stages(hs)) * flash_pitch(hs) * 2;
}

/* The weights of one tile and the gradient of its scores, in place: s becomes P (after dropout), dp
 * becomes dS. ALONG_KEYS: rows of the tile are queries (dq), otherwise keys (dkdv). */
template <int N, bool ALONG_KEYS, FlashKind KIND>
struct Sm80TileGradient {
    const FlashParams &p;
    int b, h, row, column; /* row: this lane's first; column: the tile's first */

    __device__ __forceinline__ void interval(int r, int &first, int &last) const {
        if (ALONG_KEYS)
            flash_keys_of<KIND>(p, b, row + 8 * r, first, last);
        else
            flash_queries_of<KIND>(p, b, row + 8 * r, first, last);
    }

    __device__ __forceinline__ void draw(FlashKept<N> &kept) const {
        const FlashDropout dropout(p, b, h);
        if constexpr (ALONG_KEYS)
            dropout.along_keys<N>(kept, row, column);
        else
            dropout.along_queries<N>(kept, row, column);
    }

    /* LARGE: the tile has a query with a large lse; only if rows are keys. */
    template <bool MASKED, bool LARGE>
    __device__ __forceinline__ void run(float (&s)[N / 8][4], float (&dp)[N / 8][4],
                                        const float *lse2, const float *delta) const {
        FlashKept<N> keeps;
        if constexpr (KIND == FLASH_DROPOUT) draw(keeps);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            int first = 0, last = 0;
            if constexpr (MASKED) interval(r, first, last);
#pragma unroll
            for (int n = 0; n < N / 8; n++)
#pragma unroll
                for (int e = 2 * r; e < 2 * r + 2; e++) {
                    const int at = column + (int)threadIdx.x % 4 * 2 + n * 8 + (e & 1);
                    const int query = ALONG_KEYS ? r : n * 8 + (e & 1);
                    float weight, gradient = dp[n][e];
                    if constexpr (LARGE)
                        weight = flash_weight(p, (int64_t)b * p.NH + h, at, s[n][e], lse2[query]);
                    else
                        weight = flash_exp2(s[n][e] * p.scale2 - lse2[query]);
                    if (MASKED && (at < first || at > last)) weight = 0.0f;
                    s[n][e] = weight;
                    if constexpr (KIND == FLASH_DROPOUT) {
                        const float factor = keeps(n, r, e & 1) ? p.keep_scale : 0.0f;
                        s[n][e] *= factor, gradient *= factor;
                    }
                    dp[n][e] = weight * (gradient - delta[query]);
                }
        }
    }
};

/* Whether one of N queries has a large lse; each lane checks its share. */
template <int N>
__device__ __forceinline__ bool has_large(const float *lse2) {
    bool found = false;
#pragma unroll
    for (int at = 0; at < N; at += 32) found |= lse2[at + threadIdx.x % 32] == -FLASH_INF;
    return __any_sync(0xFFFFFFFFu, found);
}

template <typename T, int HS, FlashKind KIND>
__global__ void __launch_bounds__(128) flash_sm80_dq_kernel(const __grid_constant__ FlashParams p) {
    constexpr int PITCH = flash_pitch(HS), STAGES = stages(HS), N = columns(HS), THREADS = 128;
    extern __shared__ uint4 shared[];
    T *tile_q = (T *)shared, *tile_do = tile_q + ROWS * PITCH, *tile_k = tile_do + ROWS * PITCH,
      *tile_v = tile_k + STAGES * N * PITCH;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int h = blockIdx.y, b = blockIdx.z, block_row = (gridDim.x - 1 - blockIdx.x) * ROWS;
    const int row = block_row + warp * 16 + lane / 4;
    const T *k = (const T *)p.k + b * p.lk.batch + h / p.group * p.lk.head;
    const T *v = (const T *)p.v + b * p.lv.batch + h / p.group * p.lv.head;

    int first, last, first_full, unused, last_full;
    flash_keys_of<KIND>(p, b, block_row, first, last_full);
    flash_keys_of<KIND>(p, b, min(block_row + ROWS, p.Tq) - 1, unused, last);
    flash_keys_of<KIND>(p, b, block_row + ROWS - 1, first_full, unused);
    const int begin = first / N, end = last < first ? begin : last / N + 1;

    auto load_keys = [&](int n) {
        load_tile<T, HS, N, THREADS>(tile_k + n % STAGES * N * PITCH, k, p.lk.token, n * N, p.Tk,
                                     p.HS);
        load_tile<T, HS, N, THREADS>(tile_v + n % STAGES * N * PITCH, v, p.lv.token, n * N, p.Tk,
                                     p.HS);
        copy_commit();
    };
    load_tile<T, HS, ROWS, THREADS>(tile_q, (const T *)p.q + b * p.lq.batch + h * p.lq.head,
                                    p.lq.token, block_row, p.Tq, p.HS);
    load_tile<T, HS, ROWS, THREADS>(tile_do, (const T *)p.dout + b * p.lo.batch + h * p.lo.head,
                                    p.lo.token, block_row, p.Tq, p.HS);
    if (begin < end) load_keys(begin);
    const int64_t at = ((int64_t)b * p.NH + h) * p.Tq_pad + row;
    const float delta[2] = {p.delta[at], p.delta[at + 8]};
    float lse2[2] = {p.lse2[at], p.lse2[at + 8]}, shift[2] = {};
    const bool large = __any_sync(0xFFFFFFFFu, lse2[0] == -FLASH_INF || lse2[1] == -FLASH_INF);
    for (int r = 0; r < 2 && large; r++)
        shift[r] = flash_shift(p, (int64_t)b * p.NH + h, row + 8 * r, lse2[r]);
    float dq[HS / 8][4] = {};
    for (int n = begin; n < end; n++) {
        if (STAGES > 1 && n + 1 < end) {
            load_keys(n + 1);
            copy_wait<1>();
        } else {
            copy_wait<0>();
        }
        __syncthreads();
        const T *now_k = tile_k + n % STAGES * N * PITCH, *now_v = tile_v + n % STAGES * N * PITCH;
        float s[N / 8][4], dp[N / 8][4];
        product_rows<T, HS, N>(s, tile_q + warp * 16 * PITCH, now_k);
        product_rows<T, HS, N>(dp, tile_do + warp * 16 * PITCH, now_v);
        const Sm80TileGradient<N, true, KIND> gradient = {p, b, h, row, n * N};
        const bool full = n * N >= first_full && n * N + N - 1 <= last_full;
        if (large) {
#pragma unroll
            for (int at = 0; at < N / 2; at++) s[at / 4][at % 4] -= shift[at / 2 % 2];
        }
        if (full)
            gradient.template run<false, false>(s, dp, lse2, delta);
        else
            gradient.template run<true, false>(s, dp, lse2, delta);
        product_weights<T, HS, HS, N>(dq, dp, now_k);
        __syncthreads();
        if (STAGES == 1 && n + 1 < end) load_keys(n + 1);
    }
    T *to = (T *)p.dq + b * p.lq.batch + h * p.lq.head;
    store_rows<T, HS>(
        to, p.lq.token, block_row + warp * 16, p.Tq, p.HS, dq, p.scale, p.scale, [&](int i) {
            int low, high;
            flash_keys_of<KIND>(p, b, i, low, high);
            call_dq<T, KIND == FLASH_DROPOUT>(p, p.HS, b, h, i, low, high, to + i * p.lq.token);
        });
}

template <typename T, int HS, FlashKind KIND>
__global__ void __launch_bounds__(128 * split(HS), HS > 32                 ? 1
                                                   : KIND == FLASH_DROPOUT ? 2
                                                                           : 3)
    flash_sm80_dkdv_kernel(const __grid_constant__ FlashParams p) {
    constexpr int PITCH = flash_pitch(HS), STAGES = stages(HS), N = columns(HS),
                  THREADS = 128 * split(HS);
    constexpr int PART = HS / split(HS);
    extern __shared__ uint4 shared[];
    T *tile_k = (T *)shared, *tile_v = tile_k + ROWS * PITCH, *tile_q = tile_v + ROWS * PITCH,
      *tile_do = tile_q + STAGES * N * PITCH;
    const int warp = threadIdx.x / 32 % 4, part = threadIdx.x / 128 * PART, lane = threadIdx.x % 32;
    const int head_kv = blockIdx.y, b = blockIdx.z, block_row = blockIdx.x * ROWS;
    const int row = block_row + warp * 16 + lane / 4;

    int first, last, first_full, last_full;
    flash_queries_of<KIND>(p, b, block_row, first, last_full);
    flash_queries_of<KIND>(p, b, block_row + ROWS - 1, first_full, last);
    const int begin = first / N, steps = last < first ? 0 : last / N + 1 - begin,
              total = steps * p.group;

    auto load_queries = [&](int step) {
        const int h = head_kv * p.group + step / steps, n = begin + step % steps,
                  stage = step % STAGES;
        load_tile<T, HS, N, THREADS>(tile_q + stage * N * PITCH,
                                     (const T *)p.q + b * p.lq.batch + h * p.lq.head, p.lq.token,
                                     n * N, p.Tq, p.HS);
        load_tile<T, HS, N, THREADS>(tile_do + stage * N * PITCH,
                                     (const T *)p.dout + b * p.lo.batch + h * p.lo.head, p.lo.token,
                                     n * N, p.Tq, p.HS);
        copy_commit();
    };
    load_tile<T, HS, ROWS, THREADS>(tile_k, (const T *)p.k + b * p.lk.batch + head_kv * p.lk.head,
                                    p.lk.token, block_row, p.Tk, p.HS);
    load_tile<T, HS, ROWS, THREADS>(tile_v, (const T *)p.v + b * p.lv.batch + head_kv * p.lv.head,
                                    p.lv.token, block_row, p.Tk, p.HS);
    if (total > 0) load_queries(0);
    float dk[PART / 8][4] = {}, dv[PART / 8][4] = {};
    for (int step = 0; step < total; step++) {
        if (STAGES > 1 && step + 1 < total) {
            load_queries(step + 1);
            copy_wait<1>();
        } else {
            copy_wait<0>();
        }
        __syncthreads();
        const int h = head_kv * p.group + step / steps, i = (begin + step % steps) * N;
        const T *now_q = tile_q + step % STAGES * N * PITCH,
                *now_do = tile_do + step % STAGES * N * PITCH;
        float s[N / 8][4], dp[N / 8][4];
        product_rows<T, HS, N>(s, tile_k + warp * 16 * PITCH, now_q);
        product_rows<T, HS, N>(dp, tile_v + warp * 16 * PITCH, now_do);
        const Sm80TileGradient<N, false, KIND> gradient = {p, b, h, row, i};
        const int64_t at = ((int64_t)b * p.NH + h) * p.Tq_pad + i + lane % 4 * 2;
        const bool full = i >= first_full && i + N - 1 <= last_full;
        if (has_large<N>(p.lse2 + at - lane % 4 * 2))
            gradient.template run<true, true>(s, dp, p.lse2 + at, p.delta + at);
        else if (full)
            gradient.template run<false, false>(s, dp, p.lse2 + at, p.delta + at);
        else
            gradient.template run<true, false>(s, dp, p.lse2 + at, p.delta + at);
        product_weights<T, HS, PART, N>(dv, s, now_do + part);
        product_weights<T, HS, PART, N>(dk, dp, now_q + part);
        __syncthreads();
        if (STAGES == 1 && step + 1 < total) load_queries(step + 1);
    }
    T *to_k = (T *)p.dk + b * p.lk.batch + head_kv * p.lk.head,
      *to_v = (T *)p.dv + b * p.lv.batch + head_kv * p.lv.head;
    auto remake = [&](bool of_k) { /* the warp's own columns */
                                   return [&, of_k](int j) {
                                       int low, high;
                                       flash_queries_of<KIND>(p, b, j, low, high);
                                       T *to = of_k ? to_k + j * p.lk.token : to_v + j * p.lv.token;
                                       call_dkdv<T, KIND == FLASH_DROPOUT>(p, p.HS, b, head_kv, j,
                                                                           low, high, of_k, to,
                                                                           part, part + PART);
                                   };
    };
    store_rows<T, PART>(to_k + part, p.lk.token, block_row + warp * 16, p.Tk, p.HS - part, dk,
                        p.scale, p.scale, remake(true));
    store_rows<T, PART>(to_v + part, p.lv.token, block_row + warp * 16, p.Tk, p.HS - part, dv, 1.0f,
                        1.0f, remake(false));
}

template <typename T, int HS, FlashKind KIND>
static Status launch(const FlashParams &p, cudaStream_t stream) {
    constexpr int BYTES = tile_bytes(HS);
    auto dq = flash_sm80_dq_kernel<T, HS, KIND>;
    auto dkdv = flash_sm80_dkdv_kernel<T, HS, KIND>;
    (void)cudaFuncSetAttribute(dq, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES);
    (void)cudaFuncSetAttribute(dkdv, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES);
    dim3 queries((unsigned)((p.Tq + ROWS - 1) / ROWS), (unsigned)p.NH, (unsigned)p.B);
    dim3 keys((unsigned)((p.Tk + ROWS - 1) / ROWS), (unsigned)p.NH_kv, (unsigned)p.B);
    dkdv<<<keys, 128 * split(HS), BYTES, stream>>>(p);
    dq<<<queries, 128, BYTES, stream>>>(p);
    return cuda_launched("flash_sm80_backward kernels");
}

template <typename T, FlashKind KIND>
static Status launch_of(int64_t width, const FlashParams &p, cudaStream_t stream) {
    switch (width) {
    case 32: return launch<T, 32, KIND>(p, stream);
    case 64: return launch<T, 64, KIND>(p, stream);
    case 96: return launch<T, 96, KIND>(p, stream);
    case 128: return launch<T, 128, KIND>(p, stream);
    default: return launch<T, 256, KIND>(p, stream);
    }
}

Status flash_sm80_backward(const AttentionCall *call, const AttentionArgs *args,
                           void *cuda_stream) {
    FlashParams params;
    TRY(flash_params(call, args, true, &params));
    cudaStream_t stream = (cudaStream_t)cuda_stream;
    TRY(flash_rows(call, params, stream));
    return flash_dispatch(call, [&](auto variant) {
        using V = decltype(variant);
        return launch_of<typename V::Type, V::kind>(flash_width(call->HS), params, stream);
    });
}

extern "C" Status flash_sm80_backward_cuda(const Node *node, void *stream) {
    AttentionArgs args = attention_backward_args(node);
    return flash_sm80_backward(attention_call(node), &args, stream);
}
