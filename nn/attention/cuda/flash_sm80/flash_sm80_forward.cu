/* Flash attention forward by mma.sync (sm_80 and later).
 *
 * A block of 4 warps owns 64 queries of one head, 16 per warp; K and V stream through shared memory
 * in tiles of 64 keys, two stages deep by cp.async (one for HS 256, whose three tiles fill the 99
 * KB that every such GPU offers). Weights go from the first product to the second in registers: the
 * accumulator layout of S is the operand layout of P. Longest rows first, so that a causal grid
 * ends evenly.
 *
 * Shared memory at HS 64: (64 + 4 * 64) * 144 = 46 KB, so three to four blocks per multiprocessor
 * hide each other's softmax; about 120 registers. Per tile of 64 x 64 and warp: 64 products of
 * 16x8x16, 32 ldmatrix, 32 exponentials a lane. At B=64, NH=12, T=1024, HS=64 causal: 110 GFLOP and
 * 400 MB; mma.sync reaches half of an H200's peak at best, 0.22 ms. Measured 0.55 ms there, as
 * FlashAttention 2; sm_90 itself is served by flash_sm90, in 0.29. */
#include "nn/attention/attention.h"
#include "nn/attention/cuda/flash_sm80/flash_sm80.cuh"

constexpr int WARPS = 4, ROWS = 16 * WARPS, KEYS = 64;

__host__ __device__ constexpr int stages(int hs) { return hs > 128 ? 1 : 2; }
__host__ __device__ constexpr int forward_bytes(int hs) {
    return (ROWS + 2 * KEYS * stages(hs)) * flash_pitch(hs) * 2;
}

/* Online softmax of the two rows that a lane shares: maxima of the scores, scaled only by the sign
 * of the scale, and sums of the weights. */
struct Sm80RowState {
    float maximum[2] = {-FLASH_INF, -FLASH_INF}, sum[2] = {0.0f, 0.0f};
};

template <FlashKind KIND, bool MASKED>
__device__ __forceinline__ void sign_and_mask(const FlashParams &p, float (&s)[KEYS / 8][4], int b,
                                              int row, int key) {
    int first[2] = {}, last[2] = {};
    if constexpr (MASKED) {
        flash_keys_of<KIND>(p, b, row, first[0], last[0]);
        flash_keys_of<KIND>(p, b, row + 8, first[1], last[1]);
    }
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int j = key + n * 8 + (e & 1);
            s[n][e] *= p.sign;
            if (MASKED && (j < first[e / 2] || j > last[e / 2])) s[n][e] = -FLASH_INF;
        }
}

/* Turns scores into weights relative to the new maxima and rescales the previous sums. */
template <int HS>
__device__ __forceinline__ void softmax_step(const FlashParams &p, float (&s)[KEYS / 8][4],
                                             float (&out)[HS / 8][4], Sm80RowState &state) {
    float maximum[2];
    FlashBase bases[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        maximum[r] = state.maximum[r];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
            maximum[r] = fmaxf(maximum[r], fmaxf(s[n][2 * r], s[n][2 * r + 1]));
        maximum[r] = flash_quad_max(maximum[r]);
        bases[r] = flash_base(p.abs_scale2, state.maximum[r], maximum[r]);
    }
    if (__any_sync(0xFFFFFFFFu, flash_is_large(p, maximum[0]) || flash_is_large(p, maximum[1]))) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            bases[r] = flash_base_large(p, p.abs_scale2, state.maximum[r], maximum[r]);
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
                s[n][2 * r] -= bases[r].shift, s[n][2 * r + 1] -= bases[r].shift;
        }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int e = 2 * r; e < 2 * r + 2; e++) {
                s[n][e] = flash_exp2(s[n][e] * p.abs_scale2 - bases[r].base);
                sum += s[n][e];
            }
        const float correction = bases[r].correction;
        state.maximum[r] = maximum[r];
        state.sum[r] = state.sum[r] * correction + sum;
#pragma unroll
        for (int n = 0; n < HS / 8; n++)
            out[n][2 * r] *= correction, out[n][2 * r + 1] *= correction;
    }
}

__device__ __forceinline__ void drop(const FlashParams &p, const FlashDropout &mask,
                                     float (&s)[KEYS / 8][4], int row, int key) {
    FlashKept<KEYS> kept;
    mask.along_keys<KEYS>(kept, row, key);
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) s[n][e] = kept(n, e / 2, e & 1) ? s[n][e] * p.keep_scale : 0.0f;
}

template <FlashKind KIND>
__device__ __forceinline__ void finish_rows(const FlashParams &p, int b, int h, int row,
                                            Sm80RowState &state) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const float sum = flash_quad_sum(state.sum[r]);
        const int i = row + 8 * r;
        int first, last;
        flash_keys_of<KIND>(p, b, i, first, last);
        if (p.lse != nullptr && threadIdx.x % 4 == 0 && i < p.Tq)
            flash_keep(p, (int64_t)b * p.NH + h, i, state.maximum[r],
                       flash_log2_of(p, state.maximum[r], sum), last < first);
        state.sum[r] = flash_inverse(sum, last < first);
    }
}

template <typename T, int HS, FlashKind KIND>
__global__ void __launch_bounds__(32 * WARPS, HS > 64 ? 1 : 4)
    flash_sm80_forward_kernel(const __grid_constant__ FlashParams p) {
    constexpr int PITCH = flash_pitch(HS), STAGES = stages(HS), THREADS = 32 * WARPS;
    extern __shared__ uint4 shared[];
    T *tile_q = (T *)shared, *tile_k = tile_q + ROWS * PITCH,
      *tile_v = tile_k + STAGES * KEYS * PITCH;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int h = blockIdx.y, b = blockIdx.z, block_row = (gridDim.x - 1 - blockIdx.x) * ROWS;
    const int row = block_row + warp * 16 + lane / 4;
    const T *k = (const T *)p.k + b * p.lk.batch + h / p.group * p.lk.head;
    const T *v = (const T *)p.v + b * p.lv.batch + h / p.group * p.lv.head;

    int first, last, first_full, unused, last_full;
    flash_keys_of<KIND>(p, b, block_row, first, last_full);
    flash_keys_of<KIND>(p, b, min(block_row + ROWS, p.Tq) - 1, first_full, last);
    flash_keys_of<KIND>(p, b, block_row + ROWS - 1, first_full, unused);
    const int begin = first / KEYS, end = last < first ? begin : last / KEYS + 1;

    auto load_keys = [&](int n) {
        const int stage = n % STAGES;
        load_tile<T, HS, KEYS, THREADS>(tile_k + stage * KEYS * PITCH, k, p.lk.token, n * KEYS,
                                        p.Tk, p.HS);
        load_tile<T, HS, KEYS, THREADS>(tile_v + stage * KEYS * PITCH, v, p.lv.token, n * KEYS,
                                        p.Tk, p.HS);
        copy_commit();
    };
    load_tile<T, HS, ROWS, THREADS>(tile_q, (const T *)p.q + b * p.lq.batch + h * p.lq.head,
                                    p.lq.token, block_row, p.Tq, p.HS);
    if (begin < end) load_keys(begin);
    float out[HS / 8][4] = {};
    Sm80RowState state;
    for (int n = begin; n < end; n++) {
        if (STAGES > 1 && n + 1 < end) {
            load_keys(n + 1);
            copy_wait<1>();
        } else {
            copy_wait<0>();
        }
        __syncthreads();
        const int stage = n % STAGES, key = n * KEYS + lane % 4 * 2;
        float s[KEYS / 8][4];
        product_rows<T, HS, KEYS>(s, tile_q + warp * 16 * PITCH, tile_k + stage * KEYS * PITCH);
        const bool full = n * KEYS >= first_full && n * KEYS + KEYS - 1 <= last_full;
        if (full)
            sign_and_mask<KIND, false>(p, s, b, row, key);
        else
            sign_and_mask<KIND, true>(p, s, b, row, key);
        softmax_step<HS>(p, s, out, state);
        if constexpr (KIND == FLASH_DROPOUT) drop(p, FlashDropout(p, b, h), s, row, n * KEYS);
        product_weights<T, HS, HS, KEYS>(out, s, tile_v + stage * KEYS * PITCH);
        __syncthreads();
        if (STAGES == 1 && n + 1 < end) load_keys(n + 1);
    }
    finish_rows<KIND>(p, b, h, row, state);
    T *to = (T *)p.out + b * p.lo.batch + h * p.lo.head;
    store_rows<T, HS>(to, p.lo.token, block_row + warp * 16, p.Tq, p.HS, out, state.sum[0],
                      state.sum[1], [&](int i) {
                          int low, high;
                          flash_keys_of<KIND>(p, b, i, low, high);
                          call_out<T, KIND == FLASH_DROPOUT>(p, p.HS, b, h, i, low, high,
                                                             to + i * p.lo.token);
                      });
}

template <typename T, int HS, FlashKind KIND>
static Status launch(const FlashParams &p, cudaStream_t stream) {
    auto kernel = flash_sm80_forward_kernel<T, HS, KIND>;
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               forward_bytes(HS));
    dim3 grid((unsigned)((p.Tq + ROWS - 1) / ROWS), (unsigned)p.NH, (unsigned)p.B);
    kernel<<<grid, 32 * WARPS, forward_bytes(HS), stream>>>(p);
    return cuda_launched("flash_sm80_forward_kernel");
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

Status flash_sm80_forward(const AttentionCall *call, const AttentionArgs *args, void *cuda_stream) {
    FlashParams params;
    TRY(flash_params(call, args, false, &params));
    return flash_dispatch(call, [&](auto variant) {
        using V = decltype(variant);
        return launch_of<typename V::Type, V::kind>(flash_width(call->HS), params,
                                                    (cudaStream_t)cuda_stream);
    });
}

extern "C" Status flash_sm80_forward_cuda(const Node *node, void *stream) {
    AttentionArgs args = attention_forward_args(node);
    return flash_sm80_forward(attention_call(node), &args, stream);
}
