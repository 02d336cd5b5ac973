/* Bound by memory: dy and x are read once, 201 MB and 48 us at (65536, 768) in bf16 and 4.2 TB/s.
 * A run measures every noise_scale.interval steps: 25 norms of GPT-2 124M at B=64 then cost 1.3 ms
 * in a step of 105 ms; by count, not measured.
 *
 * The first kernel sums the rows of a part of a sequence: a lane owns W columns, 8 rows at a time.
 * The second one adds the parts of each sequence, and squares: 0.8 MB from the L2 cache at B=64. */
#include "core/ops/sequence_squares.h"

#include "core/cuda/cuda_common.cuh"

enum { ROWS = 8, LANES = SEQUENCE_SQUARES_COLUMNS };

template <typename T>
struct SequenceParams {
    float *sums; /* (sequences, parts, lines, C) */
    const T *dy, *x;
    const float *means, *rstds;
    int64_t rows, C; /* rows of a sequence */
    int parts;
};

/* Adds the sums of the block's rows in order, and stores them as one line. */
template <int W>
static __device__ __forceinline__ void line_store(float *line, int64_t column, int64_t C,
                                                  float (&sums)[ROWS][LANES][W + (W > 1)],
                                                  float (&sum)[W]) {
    __syncthreads(); /* the line before has been read */
#pragma unroll
    for (int k = 0; k < W; k++) sums[threadIdx.y][threadIdx.x][k] = sum[k];
    __syncthreads();
    if (threadIdx.y != 0 || column >= C) return;
    for (int y = 1; y < ROWS; y++) {
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += sums[y][threadIdx.x][k];
    }
    store<W>(line + column, sum);
}

/* Block index: (part of a sequence, LANES packs of columns). */
template <typename T, int W, bool CENTERED, bool BETA>
static __global__ void __launch_bounds__(ROWS *LANES) sums_kernel(SequenceParams<T> p) {
    __shared__ float sums[ROWS][LANES][W + (W > 1)];
    int64_t column = ((int64_t)blockIdx.y * LANES + threadIdx.x) * W;
    int64_t sequence = blockIdx.x / p.parts, part = blockIdx.x % p.parts;
    int64_t first = sequence * p.rows + p.rows * part / p.parts,
            end = sequence * p.rows + p.rows * (part + 1) / p.parts;
    float dgamma[W] = {}, dbeta[W] = {};
    if (column < p.C) {
#pragma unroll 4
        for (int64_t row = first + threadIdx.y; row < end; row += ROWS) {
            float dy[W], x[W], mean = CENTERED ? p.means[row] : 0.0f, rstd = p.rstds[row];
            load<W>(p.dy + row * p.C + column, dy);
            load<W>(p.x + row * p.C + column, x);
#pragma unroll
            for (int k = 0; k < W; k++) {
                dgamma[k] += dy[k] * (x[k] - mean) * rstd;
                if constexpr (BETA) dbeta[k] += dy[k];
            }
        }
    }
    float *lines = p.sums + (int64_t)blockIdx.x * (BETA ? 2 : 1) * p.C;
    line_store<W>(lines, column, p.C, sums, dgamma);
    if constexpr (BETA) line_store<W>(lines + p.C, column, p.C, sums, dbeta);
}

/* Block index: (chunk of columns, line). A warp takes every 32nd sequence, a lane one column. */
static __global__ void __launch_bounds__(32 * LANES)
    squares_kernel(double *units, double *whole, const float *sums, int64_t sequences, int parts,
                   int64_t C) {
    __shared__ double wholes[32][LANES + 1];
    int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    int64_t column = (int64_t)blockIdx.x * LANES + lane,
            stride = (int64_t)gridDim.y * C; /* of a part */
    double square = 0, sum = 0;
    for (int64_t b = warp; b < sequences && column < C; b += 32) {
        const float *from = sums + b * parts * stride + blockIdx.y * C + column;
        float c = 0;
#pragma unroll 8
        for (int part = 0; part < parts; part++) c += from[part * stride];
        square += (double)c * (double)c;
        sum += (double)c;
    }
    wholes[warp][lane] = sum;
    square = block_sum(square); /* its barriers make all of `wholes` visible */
    if (warp != 0) return;
    sum = 0;
    for (int y = 0; y < 32; y++) sum += wholes[y][lane];
    sum = warp_sum(sum * sum);
    if (lane != 0) return;
    units[blockIdx.y * gridDim.x + blockIdx.x] = square;
    whole[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

template <typename T, int W>
static Status sums_launch(const SequenceParams<T> &p, int64_t sequences, bool beta,
                          cudaStream_t stream) {
    dim3 grid((unsigned)(sequences * p.parts), blocks_for(p.C, LANES * W)), block(LANES, ROWS);
    if (p.means == NULL)
        sums_kernel<T, W, false, false><<<grid, block, 0, stream>>>(p);
    else if (beta)
        sums_kernel<T, W, true, true><<<grid, block, 0, stream>>>(p);
    else
        sums_kernel<T, W, true, false><<<grid, block, 0, stream>>>(p);
    return cuda_launched("sequence_squares_sums");
}

extern "C" Status sequence_squares_cuda(const Node *node, void *stream) {
    const SequenceSquaresAttrs *attrs = (const SequenceSquaresAttrs *)node->attrs;
    const Tensor *dy = node->inputs[0];
    int64_t sequences = attrs->sequences, C = tensor_columns(dy);
    int parts = (int)sequence_squares_parts(sequences);
    float *sums = data_of<float>(node->workspace);
    TRY(need_f32(node->inputs[3], "the statistics of a norm"));
    TRY(dispatch_real(dy->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        SequenceParams<T> p = {};
        p.sums = sums, p.dy = data_of<T>(dy), p.x = data_of<T>(node->inputs[1]);
        p.means = data_of<float>(node->inputs[2]), p.rstds = data_of<float>(node->inputs[3]);
        p.rows = tensor_rows(dy) / sequences, p.C = C, p.parts = parts;
        return dispatch_width<T>(fits_packs<T>(C, p.dy, p.x, p.sums), [&](auto width) {
            return sums_launch<T, decltype(width)::value>(p, sequences, attrs->beta,
                                                          (cudaStream_t)stream);
        });
    }));
    dim3 grid(blocks_for(C, LANES), attrs->beta ? 2 : 1);
    squares_kernel<<<grid, 32 * LANES, 0, (cudaStream_t)stream>>>(data_of<double>(node->outputs[0]),
                                                                  data_of<double>(node->outputs[1]),
                                                                  sums, sequences, parts, C);
    return cuda_launched("sequence_squares");
}
