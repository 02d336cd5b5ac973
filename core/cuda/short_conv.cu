/* Bound by memory. At (65536, 768) in bf16 forward reads h and writes y, 201 MB; backward reads dy
 * and h and writes dh, 302 MB, with accumulate 403 MB: 48, 72 and 96 us at 4.2 TB/s.
 *
 * A warp walks down a run of tokens in 32 packs of the channels and keeps the last rows in
 * registers, so a row is read once, but for the taps - 1 rows beside a run. The rows to come are
 * copied to shared memory, where every thread waits for its own pack alone: STAGES - 1 rows are
 * pending without a register. By the machine code a token costs a warp 80 instructions, in backward
 * 158: a third and a half of what issues in the memory's time. Token and document of a warp are the
 * same for all lanes, so leaving out a term does not diverge. Backward walks the tokens s of h:
 * dh[s] and its share of dw[j] need dy[s + j] alone, so h is read without neighbors. The sums of dw
 * stay in registers; the warps of a block are added in order, then the blocks (columns_sum): 88
 * lines of 9 KB, 3 us. */
#include "core/ops/short_conv.h"

#include "core/cuda/columns.cuh"
#include "core/cuda/cuda_common.cuh"

#include <cuda_pipeline_primitives.h>

enum { WARPS = 8, THREADS = 32 * WARPS };

/* Of forward, and of backward, whose ring then has the 48 KiB that a block may declare. */
enum { STAGES = 8, BACKWARD_STAGES = 4 };

template <typename T>
struct ConvParams {
    T *out;                                       /* y, dh; dh may be NULL */
    T *past;                                      /* forward with a cache, else NULL */
    float *parts;                                 /* backward: (lines, taps, C) */
    const T *x, *w;                               /* x: h, in backward dy */
    const T *h;                                   /* of backward */
    const int32_t *documents, *positions, *count; /* may be NULL; the last two belong to `past` */
    int64_t rows, C;
    int length, runs; /* tokens of a row; equal ranges of the rows */
    bool accumulate;
};

/* What a warp walks: `count` tokens from token `first` on, in the column of its lane. */
struct TokenRun {
    int64_t first, column;
    int count, t; /* t: of the first token in its row */
};

template <int W, typename T>
static __device__ __forceinline__ TokenRun run_of(const ConvParams<T> &p) {
    int64_t i = (int64_t)blockIdx.y * WARPS + threadIdx.y;
    int64_t first = p.rows * i / p.runs, end = p.rows * (i + 1) / p.runs;
    int64_t column = ((int64_t)blockIdx.x * 32 + threadIdx.x) * W;
    bool exists = i < p.runs && column < p.C;
    return TokenRun{first, column, exists ? (int)(end - first) : 0, (int)(first % p.length)};
}

/* f(stage) for each token of a run, with constant stages in all but the last ones. */
template <int SLOTS, typename F>
static __device__ __forceinline__ void walk(int count, F f) {
    int i = 0;
    for (; i + SLOTS <= count; i += SLOTS) {
#pragma unroll
        for (int stage = 0; stage < SLOTS; stage++) f(stage);
    }
    for (; i < count; i++) f(i % SLOTS);
}

/* Packs in flight: a slot per stage and stream, and in it one pack per thread. */
template <typename T, int W, int SLOTS, int STREAMS>
struct PackRing {
    T packs[SLOTS][STREAMS][THREADS][W];

    __device__ __forceinline__ T *pack(int stage, int stream) {
        return packs[stage][stream][threadIdx.y * 32 + threadIdx.x];
    }
    __device__ __forceinline__ void fetch(int stage, int stream, const T *from) {
        if constexpr (W == 1) *pack(stage, stream) = *from;
        if constexpr (W > 1) __pipeline_memcpy_async(pack(stage, stream), from, 16);
    }
};

/* One store of 16 bytes: the compiler divides that of store<W> at these addresses into four. */
template <int W, typename T>
static __device__ __forceinline__ void pack_store(T *to, const float (&x)[W]) {
    if constexpr (W == 1) {
        *to = from_float<T>(x[0]);
    } else {
        uint4 raw;
#pragma unroll
        for (int k = 0; k < W; k++) reinterpret_cast<T *>(&raw)[k] = from_float<T>(x[k]);
        asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(raw.x), "r"(raw.y),
                     "r"(raw.z), "r"(raw.w)
                     : "memory");
    }
}

/* w, with 1 + w[0]. */
template <int W, int TAPS, typename T>
static __device__ __forceinline__ void factors_load(const ConvParams<T> &p, int64_t column,
                                                    float (&w)[TAPS][W]) {
#pragma unroll
    for (int j = 0; j < TAPS; j++) load<W>(p.w + j * p.C + column, w[j]);
#pragma unroll
    for (int k = 0; k < W; k++) w[0][k] += 1.0f;
}

/* sum += (1 + w[0]) rows[0] + w[1] rows[1] + ..., up to rows[reach]. */
template <int W, int TAPS>
static __device__ __forceinline__ void terms_add(const float (&rows)[TAPS][W], int reach,
                                                 const float (&w)[TAPS][W], float (&sum)[W]) {
#pragma unroll
    for (int j = 0; j < TAPS; j++) {
        if (j > reach) continue;
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += w[j][k] * rows[j][k];
    }
}

template <int W>
static __device__ __forceinline__ void pack_copy(float (&to)[W], const float (&from)[W]) {
#pragma unroll
    for (int k = 0; k < W; k++) to[k] = from[k];
}

/* Block: 32 packs by 8 runs; block index: (packs, runs). rows[j] is token s - j. */
template <typename T, int W, int TAPS, bool CACHED>
static __global__ void __launch_bounds__(THREADS, 2) forward_kernel(ConvParams<T> p) {
    __shared__ __align__(16) PackRing<T, W, STAGES, 1> ring;
    TokenRun run = run_of<W>(p);
    if (run.count == 0) return;
    float w[TAPS][W], rows[TAPS][W] = {};
    int64_t start = run.first * p.C + run.column;
    const T *x = p.x + start;
    const int32_t *firsts = p.documents == NULL ? NULL : p.documents + run.first;
    T *out = p.out + start;
    int count = CACHED ? *p.count : 0, position = CACHED ? p.positions[run.first] : 0;
    T *past = CACHED ? p.past + run.first / p.length * (TAPS - 1) * p.C + run.column : NULL;
    factors_load(p, run.column, w);
#pragma unroll
    for (int j = 1; j < TAPS; j++) { /* moves on by one before its use */
        if (CACHED) load<W>(past + (j - 1) * p.C, rows[j - 1]);
        if (!CACHED && run.first >= j) load<W>(x - j * p.C, rows[j - 1]);
    }
    int to_fetch = run.count;
    auto fetch = [&](int stage) {
        if (to_fetch-- > 0) ring.fetch(stage, 0, x);
        x += p.C;
        __pipeline_commit();
    };
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++) fetch(stage);
    walk<STAGES>(run.count, [&](int stage) {
        fetch((stage + STAGES - 1) % STAGES);
        float y[W] = {};
        int reach = position + run.t - (firsts == NULL ? 0 : *firsts++);
#pragma unroll
        for (int j = TAPS - 1; j > 0; j--) pack_copy(rows[j], rows[j - 1]);
        __pipeline_wait_prior(STAGES - 1);
        load<W>(ring.pack(stage, 0), rows[0]);
        terms_add(rows, reach, w, y);
        pack_store<W>(out, y);
        out += p.C;
        run.t++;
        if (CACHED && run.t == count) {
#pragma unroll
            for (int j = 1; j < TAPS; j++) store<W>(past + (j - 1) * p.C, rows[j - 1]);
        }
        if (run.t == p.length) run.t = 0;
    });
}

/* Adds the sums of the warps in order into the block's line of parts. */
template <typename T, int W, int TAPS>
static __device__ __forceinline__ void parts_store(const ConvParams<T> &p, float *sums,
                                                   const float (&dw)[TAPS][W]) {
    int thread = (int)(threadIdx.y * 32 + threadIdx.x);
    int64_t first = (int64_t)blockIdx.x * 32 * W;
#pragma unroll
    for (int j = 0; j < TAPS; j++) {
        __syncthreads();
        store<W>(sums + thread * W, dw[j]);
        __syncthreads();
        for (int c = thread; c < 32 * W && first + c < p.C; c += THREADS) {
            float sum = 0;
            for (int warp = 0; warp < WARPS; warp++) sum += sums[warp * 32 * W + c];
            p.parts[((int64_t)blockIdx.y * TAPS + j) * p.C + first + c] = sum;
        }
    }
}

/* What a run reads: dy of TAPS - 1 tokens more than it has, h, and dh to add to. */
enum { DY, H, OLD, STREAMS };

/* rows[j] is dy of token s + j. */
template <typename T, int W, int TAPS>
static __global__ void __launch_bounds__(THREADS, 2) backward_kernel(ConvParams<T> p) {
    __shared__ __align__(16) PackRing<T, W, BACKWARD_STAGES, STREAMS> ring;
    TokenRun run = run_of<W>(p);
    float w[TAPS][W] = {}, dw[TAPS][W] = {}, rows[TAPS][W] = {};
    int64_t start = run.first * p.C + run.column, left = p.rows - run.first - (TAPS - 1);
    const T *dy = p.x + start, *in = p.h + start;
    const int32_t *ends = p.documents == NULL ? NULL : p.documents + p.rows + run.first;
    T *out = p.out + start, *old = out;
    if (run.count > 0) factors_load(p, run.column, w);
#pragma unroll
    for (int j = 0; j < TAPS - 1; j++) { /* moves on by one before its use */
        if (run.count > 0 && run.first + j < p.rows) load<W>(dy + j * p.C, rows[j + 1]);
    }
    dy += (TAPS - 1) * p.C;
    int to_fetch = run.count, of_dy = left < run.count ? (int)left : run.count;
    auto fetch = [&](int stage) {
        if (of_dy-- > 0) ring.fetch(stage, DY, dy);
        if (to_fetch > 0) ring.fetch(stage, H, in);
        if (to_fetch-- > 0 && p.accumulate) ring.fetch(stage, OLD, old);
        dy += p.C, in += p.C, old += p.C;
        __pipeline_commit();
    };
#pragma unroll
    for (int stage = 0; stage < BACKWARD_STAGES - 1; stage++) fetch(stage);
    walk<BACKWARD_STAGES>(run.count, [&](int stage) {
        fetch((stage + BACKWARD_STAGES - 1) % BACKWARD_STAGES);
        float h[W], dh[W] = {};
        int reach = (ends == NULL ? p.length : *ends++) - 1 - run.t;
#pragma unroll
        for (int j = 0; j < TAPS - 1; j++) pack_copy(rows[j], rows[j + 1]);
        __pipeline_wait_prior(BACKWARD_STAGES - 1);
        load<W>(ring.pack(stage, DY), rows[TAPS - 1]);
        load<W>(ring.pack(stage, H), h);
        if (p.accumulate) load<W>(ring.pack(stage, OLD), dh);
        terms_add(rows, reach, w, dh);
        if (p.out != NULL) pack_store<W>(out, dh);
        out += p.C;
#pragma unroll
        for (int j = 0; j < TAPS; j++) {
            if (j > reach) continue;
#pragma unroll
            for (int k = 0; k < W; k++) dw[j][k] += rows[j][k] * h[k];
        }
        if (++run.t == p.length) run.t = 0;
    });
    parts_store(p, reinterpret_cast<float *>(&ring), dw);
}

/* f(Int<TAPS>); the recording function has checked them. */
template <typename F>
static Status dispatch_taps(int64_t taps, F f) {
    return taps == 2 ? f(Int<2>{}) : taps == 3 ? f(Int<3>{}) : f(Int<SHORT_CONV_MOST_TAPS>{});
}

/* Blocks of all packs, as many in y as fill the GPU; a warp has STAGES tokens or more. */
static dim3 grid_of(int64_t rows, int64_t packs) {
    unsigned x = blocks_for(packs, 32), most = SHORT_CONV_BLOCKS / x,
             y = blocks_for(rows, WARPS * STAGES);
    if (y > most) y = most;
    return dim3(x, y > 0 ? y : 1);
}

template <typename T>
static ConvParams<T> params_of(const Tensor *x, const Tensor *w, const Tensor *documents,
                               const Tensor *out) {
    ConvParams<T> p = {};
    p.x = data_of<T>(x), p.w = data_of<T>(w), p.out = data_of<T>(out);
    p.documents = data_of<int32_t>(documents);
    p.rows = tensor_rows(x), p.C = tensor_columns(x), p.length = (int)x->shape[1];
    return p;
}

template <typename T, bool CACHED>
static Status forward_launch(ConvParams<T> p, int64_t taps, cudaStream_t stream) {
    return dispatch_width<T>(fits_packs<T>(p.C, p.x, p.w, p.out, p.past), [&](auto width) {
        return dispatch_taps(taps, [&](auto n) {
            constexpr int W = decltype(width)::value, TAPS = decltype(n)::value;
            dim3 grid = grid_of(p.rows, p.C / W), block(32, WARPS);
            p.runs = (int)grid.y * WARPS;
            if (CACHED) grid.y = blocks_for(p.runs = (int)(p.rows / p.length), WARPS);
            forward_kernel<T, W, TAPS, CACHED><<<grid, block, 0, stream>>>(p);
            return cuda_launched("short_conv");
        });
    });
}

extern "C" Status short_conv_cuda(const Node *node, void *stream) {
    const Tensor *h = node->inputs[0], *w = node->inputs[1];
    if (tensor_count(h) == 0) return Status{STATUS_OK};
    return dispatch_real(h->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        ConvParams<T> p = params_of<T>(h, w, node->inputs[2], node->outputs[0]);
        return forward_launch<T, false>(p, w->shape[0], (cudaStream_t)stream);
    });
}

extern "C" Status short_conv_cached_cuda(const Node *node, void *stream) {
    const Tensor *h = node->inputs[0], *w = node->inputs[1];
    if (tensor_count(h) == 0) return Status{STATUS_OK};
    return dispatch_real(h->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        ConvParams<T> p = params_of<T>(h, w, NULL, node->outputs[0]);
        p.positions = data_of<int32_t>(node->inputs[2]);
        p.count = data_of<int32_t>(node->inputs[3]);
        p.past = data_of<T>(node->outputs[1]);
        return forward_launch<T, true>(p, w->shape[0], (cudaStream_t)stream);
    });
}

extern "C" Status short_conv_backward_cuda(const Node *node, void *stream_) {
    const ShortConvAttrs *attrs = (const ShortConvAttrs *)node->attrs;
    const Tensor *dy = node->inputs[0], *w = node->inputs[2], *dw = node->outputs[1];
    int64_t taps = w->shape[0], columns = tensor_count(w), lines = 1;
    cudaStream_t stream = (cudaStream_t)stream_;
    TRY(need_f32(dw, "the gradient of a short convolution"));
    TRY(dispatch_real(dy->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        ConvParams<T> p = params_of<T>(dy, w, node->inputs[3], node->outputs[0]);
        p.h = data_of<T>(node->inputs[1]), p.parts = data_of<float>(node->workspace);
        p.accumulate = attrs->accumulate;
        return dispatch_width<T>(fits_packs<T>(p.C, p.x, p.h, p.w, p.out), [&](auto width) {
            return dispatch_taps(taps, [&](auto n) {
                constexpr int W = decltype(width)::value, TAPS = decltype(n)::value;
                dim3 grid = grid_of(p.rows, p.C / W);
                p.runs = (int)grid.y * WARPS, lines = grid.y;
                backward_kernel<T, W, TAPS><<<grid, dim3(32, WARPS), 0, stream>>>(p);
                return cuda_launched("short_conv_backward");
            });
        });
    }));
    ColumnSum sum = {data_of<float>(dw), data_of<float>(node->workspace), attrs->accumulate_w};
    return columns_sum(sum, ColumnSum{}, lines, columns, columns, stream);
}
