/* Bound by memory: 65536 x 3072 in bf16 is read (403 MB) and written twice in eight bits (403 MB):
 * 192 us at 4.2 TB/s; by count, not measured. A GELU or its gradient on the way saves a pass that
 * reads and writes 403 MB.
 *
 * A block quantizes a tile of 128 x 128: a thread converts 16 columns of a row at a time and stores
 * them as 16 bytes, to q and to shared memory. Then it reads a 4 x 16 part of the tile as words,
 * transposes them by byte permutations, and stores 16 rows of a column as 16 bytes, so eight
 * threads write 128 bytes in a row (core/cuda/codes.cuh). */
#include "core/ops/quantize.h"

#include "core/cuda/codes.cuh"
#include "core/cuda/columns.cuh"
#include "core/cuda/cuda_common.cuh"

#include <algorithm>

enum {
    THREADS = 256,
    WARPS = THREADS / 32,
    CHUNK = QUANTIZE_UNIT,          /* columns that a thread converts at once */
    CHUNKS = QUANTIZE_TILE / CHUNK, /* of a row of the tile */
    SLOTS = THREADS / CHUNKS,       /* rows that a block converts at once */
    WORDS = QUANTIZE_TILE / 4       /* of a row of the tile in shared memory */
};

constexpr unsigned LARGEST_BLOCKS = 2048;

template <typename T>
struct QuantizeParams {
    const T *x, *pre;
    const float *scale;
    uint8_t *q, *transposed;
    uint32_t *observed;
    float *parts; /* of the column sums: a line for each tile of rows */
    int64_t rows, columns;
};

template <typename T>
struct Pack {
    uint4 words[CHUNK * sizeof(T) / sizeof(uint4)];

    __device__ __forceinline__ void load(const T *from) {
#pragma unroll
        for (int i = 0; i < (int)(sizeof words / sizeof *words); i++)
            words[i] = reinterpret_cast<const uint4 *>(from)[i];
    }
    __device__ __forceinline__ float at(int k) const {
        return to_float(reinterpret_cast<const T *>(words)[k]);
    }
};

constexpr bool has_pre(QuantizeValues values) {
    return values == QUANTIZE_GELU_GRADIENT || values == QUANTIZE_RELU2_GRADIENT;
}

/* What the tensor would hold without the fusion: computed in f32, rounded to T. */
template <typename T, QuantizeValues VALUES>
static __device__ __forceinline__ float value_of(float x, float pre) {
    if constexpr (VALUES == QUANTIZE_X) return x;
    float positive = VALUES == QUANTIZE_RELU2 ? x : pre;
    positive = positive < 0.0f ? 0.0f : positive;
    float v = VALUES == QUANTIZE_GELU            ? gelu_value<T>(x)
              : VALUES == QUANTIZE_GELU_GRADIENT ? x * gelu_derivative<T>(pre)
              : VALUES == QUANTIZE_RELU2         ? positive * positive
                                                 : x * 2.0f * positive;
    return to_float(from_float<T>(v));
}

/* Where a chunk of row `row` lies in the row. */
static __device__ __forceinline__ int tile_chunk(int row, int chunk) {
    return tile_word<QUANTIZE_TILE>(row, chunk * 4) / 4;
}

/* The block's tile, transposed. Block index: (tile of columns, tile of rows). */
static __device__ __forceinline__ void tile_store(uint8_t *transposed, int64_t rows,
                                                  int64_t columns, const uint4 *tile) {
    int64_t first = (int64_t)blockIdx.y * QUANTIZE_TILE,
            column = (int64_t)blockIdx.x * QUANTIZE_TILE;
    int width = (int)min((int64_t)QUANTIZE_TILE, columns - column);
    store_transposed<QUANTIZE_TILE, THREADS>(transposed, rows, first, column, width,
                                             reinterpret_cast<const uint32_t *>(tile), WORDS);
}

/* Adds the threads' sums of this tile in a fixed order. */
template <typename T>
static __device__ __forceinline__ void store_sums(const QuantizeParams<T> &p,
                                                  float (&sums)[CHUNK]) {
    __shared__ float lines[WARPS][QUANTIZE_TILE];
    int chunk = threadIdx.x % CHUNKS, lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < CHUNK; k++) {
        sums[k] += __shfl_xor_sync(0xFFFFFFFFu, sums[k], 8);
        sums[k] += __shfl_xor_sync(0xFFFFFFFFu, sums[k], 16);
        if (lane < CHUNKS) lines[threadIdx.x / 32][chunk * CHUNK + k] = sums[k];
    }
    __syncthreads();
    int64_t column = (int64_t)blockIdx.x * QUANTIZE_TILE + threadIdx.x;
    if (threadIdx.x >= QUANTIZE_TILE || column >= p.columns) return;
    float sum = 0;
#pragma unroll
    for (int w = 0; w < WARPS; w++) sum += lines[w][threadIdx.x];
    p.parts[blockIdx.y * p.columns + column] = sum;
}

/* The codes of a chunk. Adds the values to `sums`, one of each column. */
template <typename T, bool E5M2, QuantizeValues VALUES, bool SUMS>
static __device__ __forceinline__ uint4 chunk_quantize(const Pack<T> &x, const Pack<T> &pre,
                                                       float inverse, Found &found,
                                                       float (&sums)[CHUNK]) {
    float v[CHUNK];
    uint32_t codes[CHUNK / 4];
#pragma unroll
    for (int k = 0; k < CHUNK; k++) {
        v[k] = value_of<T, VALUES>(x.at(k), has_pre(VALUES) ? pre.at(k) : 0);
        if constexpr (SUMS) sums[k] += v[k];
    }
    codes_of<E5M2>(v, inverse, found, codes);
    return make_uint4(codes[0], codes[1], codes[2], codes[3]);
}

/* Block index as above. A thread loads AHEAD chunks before it converts
 * them: memory is slower than arithmetic, so many bytes must be on their way. */
template <typename T, bool E5M2, QuantizeValues VALUES, bool SUMS>
static __global__ void __launch_bounds__(THREADS, has_pre(VALUES) || SUMS ? 3 : 4)
    quantize_kernel(QuantizeParams<T> p) {
    constexpr int AHEAD = sizeof(T) == 2 && !(has_pre(VALUES) && SUMS) ? 2 : 1;
    __shared__ uint4 tile[QUANTIZE_TILE * CHUNKS];
    int chunk = threadIdx.x % CHUNKS, slot = threadIdx.x / CHUNKS;
    int64_t column = (int64_t)blockIdx.x * QUANTIZE_TILE + chunk * CHUNK,
            first = (int64_t)blockIdx.y * QUANTIZE_TILE;
    int rows = column >= p.columns ? 0 : (int)min((int64_t)QUANTIZE_TILE, p.rows - first);
    float inverse = 1.0f / *p.scale;
    Found found = {};
    float sums[CHUNK] = {};
    for (int group = slot; group < rows; group += AHEAD * SLOTS) {
        Pack<T> x[AHEAD], pre[AHEAD];
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            int64_t i = (first + group + a * SLOTS) * p.columns + column;
            if (group + a * SLOTS >= rows) break;
            x[a].load(p.x + i);
            if constexpr (has_pre(VALUES)) pre[a].load(p.pre + i);
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            int r = group + a * SLOTS;
            if (r >= rows) break;
            uint4 codes = chunk_quantize<T, E5M2, VALUES, SUMS>(x[a], pre[a], inverse, found, sums);
            if (p.q != NULL)
                *reinterpret_cast<uint4 *>(p.q + (first + r) * p.columns + column) = codes;
            if (p.transposed != NULL) tile[r * CHUNKS + tile_chunk(r, chunk)] = codes;
        }
    }
    found_store(p.observed, found);
    if (p.transposed != NULL) {
        __syncthreads();
        tile_store(p.transposed, p.rows, p.columns, tile);
    }
    if constexpr (SUMS) store_sums(p, sums);
}

template <typename T, bool E5M2, QuantizeValues VALUES>
static Status launch_values(const QuantizeParams<T> &p, cudaStream_t stream) {
    dim3 grid(blocks_for(p.columns, QUANTIZE_TILE), blocks_for(p.rows, QUANTIZE_TILE));
    if constexpr (VALUES == QUANTIZE_X || has_pre(VALUES)) { /* only gradients have sums */
        if (p.parts != NULL) {
            quantize_kernel<T, E5M2, VALUES, true><<<grid, THREADS, 0, stream>>>(p);
            return cuda_launched("quantize");
        }
    }
    quantize_kernel<T, E5M2, VALUES, false><<<grid, THREADS, 0, stream>>>(p);
    return cuda_launched("quantize");
}

template <typename T, bool E5M2>
static Status launch(const QuantizeParams<T> &p, QuantizeValues values, cudaStream_t stream) {
    switch (values) {
    case QUANTIZE_X: return launch_values<T, E5M2, QUANTIZE_X>(p, stream);
    case QUANTIZE_GELU: return launch_values<T, E5M2, QUANTIZE_GELU>(p, stream);
    case QUANTIZE_GELU_GRADIENT: return launch_values<T, E5M2, QUANTIZE_GELU_GRADIENT>(p, stream);
    case QUANTIZE_RELU2: return launch_values<T, E5M2, QUANTIZE_RELU2>(p, stream);
    default: return launch_values<T, E5M2, QUANTIZE_RELU2_GRADIENT>(p, stream);
    }
}

extern "C" Status quantize_cuda(const Node *node, void *stream) {
    const QuantizeAttrs *attrs = (const QuantizeAttrs *)node->attrs;
    const Tensor *x = node->inputs[0], *out = node->outputs[QUANTIZED],
                 *turned = node->outputs[QUANTIZED_TRANSPOSED],
                 *sums = node->outputs[QUANTIZE_SUMS];
    bool is_e5m2 = (out != NULL ? out : turned)->dtype == DTYPE_F8E5M2;
    int64_t rows = tensor_rows(x), columns = tensor_columns(x);
    TRY(need_f32(sums, "the gradient of a bias"));
    if (rows * columns == 0) return Status{STATUS_OK};
    TRY(dispatch_real(x->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        QuantizeParams<T> p = {};
        p.x = data_of<T>(x), p.pre = data_of<T>(node->inputs[2]);
        p.scale = data_of<float>(node->inputs[1]);
        p.q = data_of<uint8_t>(out), p.transposed = data_of<uint8_t>(turned);
        p.observed = data_of<uint32_t>(node->outputs[QUANTIZE_OBSERVED]);
        p.parts = sums == NULL ? NULL : data_of<float>(node->workspace);
        p.rows = rows, p.columns = columns;
        return is_e5m2 ? launch<T, true>(p, attrs->values, (cudaStream_t)stream)
                       : launch<T, false>(p, attrs->values, (cudaStream_t)stream);
    }));
    if (sums == NULL) return Status{STATUS_OK};
    ColumnSum job = {data_of<float>(sums), data_of<float>(node->workspace), attrs->accumulate_sums};
    return columns_sum(job, ColumnSum{}, blocks_for(rows, QUANTIZE_TILE), columns, columns,
                       (cudaStream_t)stream);
}

/* Block index as above. */
static __global__ void __launch_bounds__(THREADS)
    transpose_kernel(const uint8_t *q, uint8_t *transposed, int64_t rows, int64_t columns) {
    __shared__ uint4 tile[QUANTIZE_TILE * CHUNKS];
    int chunk = threadIdx.x % CHUNKS;
    int64_t column = (int64_t)blockIdx.x * QUANTIZE_TILE + chunk * CHUNK,
            first = (int64_t)blockIdx.y * QUANTIZE_TILE;
#pragma unroll
    for (int r = threadIdx.x / CHUNKS; r < QUANTIZE_TILE; r += SLOTS) {
        if (first + r >= rows || column >= columns) break;
        tile[r * CHUNKS + tile_chunk(r, chunk)] =
            *reinterpret_cast<const uint4 *>(q + (first + r) * columns + column);
    }
    __syncthreads();
    tile_store(transposed, rows, columns, tile);
}

extern "C" Status float8_transpose_cuda(const Node *node, void *stream) {
    const Tensor *q = node->inputs[0];
    int64_t rows = tensor_rows(q), columns = tensor_columns(q);
    if (rows * columns == 0) return Status{STATUS_OK};
    dim3 grid(blocks_for(columns, QUANTIZE_TILE), blocks_for(rows, QUANTIZE_TILE));
    transpose_kernel<<<grid, THREADS, 0, (cudaStream_t)stream>>>(
        data_of<uint8_t>(q), data_of<uint8_t>(node->outputs[0]), rows, columns);
    return cuda_launched("transpose");
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    largest_kernel(const T *x, int64_t chunks, uint32_t *largest) {
    uint32_t size = 0;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < chunks;
         i += (int64_t)gridDim.x * THREADS) {
        float v[CHUNK];
        load<CHUNK>(x + i * CHUNK, v);
#pragma unroll
        for (int k = 0; k < CHUNK; k++) size = max(size, size_bits(v[k]));
    }
    raise_largest(largest, size);
}

static __global__ void scale_kernel(float *scale, const uint32_t *largest, bool is_e5m2) {
    *scale = float8_scale_of_bits(is_e5m2 ? DTYPE_F8E5M2 : DTYPE_F8E4M3, *largest, 1.0f);
}

extern "C" Status float8_scale_cuda(const Node *node, void *stream_) {
    const Float8ScaleAttrs *attrs = (const Float8ScaleAttrs *)node->attrs;
    const Tensor *x = node->inputs[0];
    cudaStream_t stream = (cudaStream_t)stream_;
    uint32_t *largest = data_of<uint32_t>(node->workspace);
    int64_t chunks = tensor_count(x) / CHUNK;
    unsigned blocks = std::min(blocks_for(chunks, THREADS), LARGEST_BLOCKS);
    CUDA_TRY(cudaMemsetAsync(largest, 0, sizeof *largest, stream));
    if (chunks > 0) {
        TRY(dispatch_real(x->dtype, [&](auto type) {
            using T = typename decltype(type)::type;
            largest_kernel<T><<<blocks, THREADS, 0, stream>>>(data_of<T>(x), chunks, largest);
            return cuda_launched("largest");
        }));
    }
    scale_kernel<<<1, 1, 0, stream>>>(data_of<float>(node->outputs[0]), largest,
                                      attrs->dtype == DTYPE_F8E5M2);
    return cuda_launched("scale");
}
