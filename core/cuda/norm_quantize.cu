/* layernorm and rmsnorm whose result is written in eight bits alone, as q and transposed.
 *
 * Bound by memory: reads x and branch, writes the sum, q and the transposed q: 403 MB and 96 us at
 * (65536, 768) in bf16 and 4.2 TB/s. Norm and quantization apart move 604 MB; by count, not
 * measured.
 *
 * A block owns a tile of rows with all their columns, because codes need the row's statistics and
 * the transposed layout needs many rows: 64 of them write 64 bytes in a row. A warp normalizes one
 * row at a time in registers and puts its codes into the tile; behind a barrier the block stores
 * the tile transposed (core/cuda/codes.cuh). Four blocks of 48 KiB share a multiprocessor at 768
 * columns, so the loads of some cover the barrier of others. The tile of long rows has 1024 columns
 * at a time; their sums are read again, mostly from the cache. */
#include "core/cuda/codes.cuh"
#include "core/cuda/norm_row.cuh"

enum { WARPS = 8, THREADS = WARPS * 32, LONG_ROWS = 32, LONG_COLUMNS = 1024 };

template <typename T>
struct CodeParams {
    ForwardParams<T> norm;
    const float *scale;
    uint8_t *q, *transposed; /* may be NULL */
    uint32_t *observed;
};

/* Rows of the tile for rows of up to `columns`: at most 64 KiB. */
constexpr int tile_rows(int columns) { return columns <= 1024 ? 64 : 32; }

/* Blocks that share a multiprocessor, if a lane holds `elements` of a row in registers. */
constexpr int blocks_together(int elements) { return elements <= 24 ? 4 : elements <= 32 ? 3 : 2; }

/* Words from one row of the tile to the next. */
static __host__ __device__ __forceinline__ int tile_stride(int64_t columns) {
    return (int)((columns + 127) / 128 * 32);
}

template <int N>
static __device__ __forceinline__ void store_words(void *to, const uint32_t (&words)[N]) {
    static_assert(N == 1 || N == 2, "packs have 4 or 8 elements");
    if constexpr (N == 1) {
        *reinterpret_cast<uint32_t *>(to) = words[0];
    } else {
        *reinterpret_cast<uint2 *>(to) = make_uint2(words[0], words[1]);
    }
}

/* Stores the codes of a normalized pack of column j, rounded to T first, as it would be stored:
 * element (r, column) of the tile. */
template <int ROWS, typename T, int W>
static __device__ __forceinline__ void pack_store(const CodeParams<T> &p, int64_t row, int64_t j,
                                                  float (&v)[W], float inverse, uint32_t *tile,
                                                  int stride, int r, int column, Found &found) {
    uint32_t codes[W / 4];
#pragma unroll
    for (int k = 0; k < W; k++) v[k] = to_float(from_float<T>(v[k]));
    codes_of<false>(v, inverse, found, codes);
    if (p.q != NULL) store_words(p.q + row * p.norm.C + j, codes);
    store_words(tile + r * stride + tile_word<ROWS>(r, column / 4), codes);
}

template <typename T, int W, int PACKS, typename Form>
static __global__ void __launch_bounds__(THREADS, blocks_together(PACKS *W))
    codes_kernel(CodeParams<T> p) {
    constexpr int ROWS = tile_rows(PACKS * W * 32);
    extern __shared__ uint4 shared[];
    uint32_t *tile = reinterpret_cast<uint32_t *>(shared);
    int lane = threadIdx.x % 32, C = (int)p.norm.C, stride = tile_stride(C);
    int64_t first = (int64_t)blockIdx.x * ROWS;
    int rows = (int)min((int64_t)ROWS, p.norm.rows - first);
    float inverse = 1.0f / *p.scale;
    Found found = {};
#pragma unroll 1
    for (int r = threadIdx.x / 32; r < rows; r += WARPS) {
        float v[PACKS][W] = {}, mean, rstd;
        row_load<Form>(p.norm, first + r, v, &mean, &rstd);
#pragma unroll
        for (int n = 0; n < PACKS; n++) {
            int j = (n * 32 + lane) * W;
            if (j >= C) continue;
            normalize_pack<Form>(p.norm, j, mean, rstd, v[n]);
            pack_store<ROWS>(p, first + r, j, v[n], inverse, tile, stride, r, j, found);
        }
    }
    found_store(p.observed, found);
    if (p.transposed == NULL) return;
    __syncthreads();
    store_transposed<ROWS, THREADS>(p.transposed, p.norm.rows, first, 0, C, tile, stride);
}

template <typename T, int W, typename Form>
static __global__ void __launch_bounds__(THREADS) long_codes_kernel(CodeParams<T> p) {
    constexpr int MINE = LONG_ROWS / WARPS, STRIDE = LONG_COLUMNS / 4;
    __shared__ __align__(16) uint32_t tile[LONG_ROWS * STRIDE];
    const T *in = p.norm.branch == NULL ? p.norm.x : p.norm.sums;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int64_t C = p.norm.C, first = (int64_t)blockIdx.x * LONG_ROWS;
    int rows = (int)min((int64_t)LONG_ROWS, p.norm.rows - first);
    float inverse = 1.0f / *p.scale, mean[MINE], rstd[MINE];
    Found found = {};
#pragma unroll
    for (int i = 0; i < MINE; i++) {
        if (warp + i * WARPS >= rows) break;
        long_row_load<Form, W>(p.norm, first + warp + i * WARPS, &mean[i], &rstd[i]);
    }
    for (int64_t left = 0; left < C; left += LONG_COLUMNS) {
        int width = (int)min((int64_t)LONG_COLUMNS, C - left);
#pragma unroll
        for (int i = 0; i < MINE; i++) {
            int r = warp + i * WARPS;
            if (r >= rows) break;
            for (int k = lane * W; k < width; k += 32 * W) {
                float v[W];
                load<W>(in + (first + r) * C + left + k, v);
                normalize_pack<Form>(p.norm, left + k, mean[i], rstd[i], v);
                pack_store<LONG_ROWS>(p, first + r, left + k, v, inverse, tile, STRIDE, r, k,
                                      found);
            }
        }
        if (p.transposed == NULL) continue;
        __syncthreads();
        store_transposed<LONG_ROWS, THREADS>(p.transposed, p.norm.rows, first, left, width, tile,
                                             STRIDE);
        __syncthreads();
    }
    found_store(p.observed, found);
}

template <typename T, typename Form>
static Status codes_launch(const CodeParams<T> &p, cudaStream_t stream) {
    constexpr int W = 16 / sizeof(T);
    return norm_packs<W>(p.norm.C, [&](auto packs) {
        constexpr int PACKS = decltype(packs)::value;
        if constexpr (PACKS == 0) {
            long_codes_kernel<T, W, Form>
                <<<blocks_for(p.norm.rows, LONG_ROWS), THREADS, 0, stream>>>(p);
        } else {
            constexpr int ROWS = tile_rows(PACKS * W * 32);
            int bytes = ROWS * tile_stride(p.norm.C) * (int)sizeof(uint32_t);
            /* the most that this kernel takes: a captured launch may have taken more than this */
            CUDA_TRY(cudaFuncSetAttribute(codes_kernel<T, W, PACKS, Form>,
                                          cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          ROWS * PACKS * W * 32));
            codes_kernel<T, W, PACKS, Form>
                <<<blocks_for(p.norm.rows, ROWS), THREADS, (size_t)bytes, stream>>>(p);
        }
        return cuda_launched("norm_quantize");
    });
}

/* Columns are a multiple of 16, so packs fit. */
Status norm_quantize_cuda(const Node *node, cudaStream_t stream) {
    NormOptions options = ((const NormAttrs *)node->attrs)->options;
    return dispatch_real(node->inputs[0]->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        ForwardParams<T> norm = forward_params<T>(node);
        CodeParams<T> p = {norm, data_of<float>(node->inputs[NORM_SCALE]),
                           data_of<uint8_t>(node->outputs[NORM_Q]),
                           data_of<uint8_t>(node->outputs[NORM_TRANSPOSED]),
                           data_of<uint32_t>(node->outputs[NORM_OBSERVED])};
        if (!fits_packs<T>(norm.C, norm.sums, norm.x, norm.branch, norm.gamma, norm.beta))
            return ERROR(STATUS_UNSUPPORTED, "%s: rows of %lld columns in eight bits",
                         node->op->name, (long long)norm.C);
        return norm_form(options.kind, norm.gamma != NULL,
                         [&](auto form) { return codes_launch<T, decltype(form)>(p, stream); });
    });
}
