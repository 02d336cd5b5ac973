/* What surrounds the fused backward pass: lse2, delta and the turns before it, dq from its sums
 * after it.
 *
 * Both are bound by memory. Before: out and dout once, 16 bytes a row written. After: the sums are
 * in the order of accumulators, 64 x 8 columns a time: a warpgroup reads them as its own, in whole
 * lines, and stores the tile like every other pass. At B=16, NH=12, T=4096, HS=64: 201 MB, 48 us,
 * and 302 MB, 72 us at 4.2 TB/s. */
#include "nn/attention/cuda/flash_sm90/flash_sm90_fused.cuh"
#include "nn/attention/cuda/flash_sm90/flash_sm90_rows.cuh"

enum { ROWS = 64, THREADS = 128 };

/* A block: 64 rows of a head. Every tile of turns starts in one of them. */
template <typename T, int HS>
static __global__ void __launch_bounds__(THREADS)
    flash_sm90_rows_kernel(const __grid_constant__ FlashParams p) {
    const int from = blockIdx.x * ROWS, h = blockIdx.y, b = blockIdx.z;
    float lse2[2], delta[2];
    prepare_rows<T, HS>(p, from + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4, h, b, lse2, delta);
    if (threadIdx.x == 0 && from % FUSED_QUERIES<HS> == 0)
        p.turns[(((int64_t)b * p.NH + h) * p.Tq_pad + from) / FUSED_QUERIES<HS>] = 0;
}

/* A tile that no block has visited holds queries without keys. */
template <typename T, int HS>
static __global__ void __launch_bounds__(THREADS)
    flash_sm90_dq_of_sums_kernel(const __grid_constant__ FlashParams p,
                                 const __grid_constant__ CUtensorMap dq) {
    __shared__ __align__(1024) uint8_t tile[Tile<HS>::bytes(ROWS)];
    const int from = blockIdx.x * ROWS, h = blockIdx.y, b = blockIdx.z;
    const int64_t row = ((int64_t)b * p.NH + h) * p.Tq_pad + from;
    const float4 *sums = (const float4 *)(p.dq_sums + row * HS) + threadIdx.x;
    const bool visited = p.turns[row / FUSED_QUERIES<HS>] > 0;
    float sum[HS / 2];
    launch_next();
#pragma unroll
    for (int n = 0; n < HS / 8; n++) {
        const float4 four = visited ? __ldcs(sums + n * THREADS) : make_float4(0, 0, 0, 0);
        sum[4 * n] = four.x, sum[4 * n + 1] = four.y;
        sum[4 * n + 2] = four.z, sum[4 * n + 3] = four.w;
    }
    store_tile<T, HS>(shared_address(tile), dq, 0, sum, p.scale, p.scale, from, h, b,
                      p.lost + row / 16);
}

template <typename T, int HS>
static Status launch_rows(const FlashParams &p, cudaStream_t stream) {
    const dim3 grid((unsigned)(p.Tq_pad / ROWS), (unsigned)p.NH, (unsigned)p.B);
    flash_sm90_rows_kernel<T, HS><<<grid, THREADS, 0, stream>>>(p);
    return cuda_launched("flash_sm90_rows_kernel");
}

template <typename T, int HS>
static Status launch_dq(const AttentionCall *call, const FlashParams &p, cudaStream_t stream) {
    CUtensorMap dq;
    TRY(flash_map(&dq, p.dq, call, call->q, call->Tq, call->NH, ROWS));
    const dim3 grid((unsigned)((p.Tq + ROWS - 1) / ROWS), (unsigned)p.NH, (unsigned)p.B);
    flash_sm90_dq_of_sums_kernel<T, HS><<<grid, THREADS, 0, stream>>>(p, dq);
    return cuda_launched("flash_sm90_dq_of_sums_kernel");
}

Status flash_sm90_rows(const AttentionCall *call, const FlashParams &params, cudaStream_t stream) {
    return fused_dispatch(call, [&](auto variant) {
        using V = decltype(variant);
        return launch_rows<typename V::Type, V::HS>(params, stream);
    });
}

Status flash_sm90_dq_of_sums(const AttentionCall *call, const FlashParams &params,
                             cudaStream_t stream) {
    return fused_dispatch(call, [&](auto variant) {
        using V = decltype(variant);
        return launch_dq<typename V::Type, V::HS>(call, params, stream);
    });
}
