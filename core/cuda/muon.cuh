/* The kernels of core/cuda/muon.cu beside the products. */
#pragma once

#include "core/cuda/cuda_common.cuh"
#include "core/ops/adamw.h"
#include "core/ops/muon.h"

/* TILE: side of the tiles that copies transpose; 8 warps. A thread moves W elements of a line of a
 * tile at once: 4 where the sides and the addresses allow it, else 1. */
enum { THREADS = 256, WARPS = THREADS / 32, TILE = 64 };

template <int W>
struct TileThread {
    enum { LINES = THREADS * W / TILE };
    int lane = (int)threadIdx.x % (TILE / W) * W, line = (int)threadIdx.x / (TILE / W);
};

struct CudaMuonMatrix {
    int64_t first, master, momentum, row;
};

/* The matrices of one shape in a batch. `x`: these as the products see them, (n, r, k). */
template <typename T, typename X>
struct MuonParams {
    const float *grad, *norm;
    const StepState *step;
    float *master, *momentum, *row_moments; /* row_moments: NULL without NorMuon */
    T *half_weight;                         /* NULL if the weight is f32 */
    unsigned long long *first_nonfinite;    /* or NULL */
    int64_t offset; /* the element of the section at index 0 of the gradient */
    X *x;
    float *parts, *sums, *scales;
    int64_t rows, columns;
    float norm_factor, shape_scale;
    MuonAttrs attrs;
    CudaMuonMatrix matrices[MUON_BATCH_MATRICES];
};

struct MuonRates {
    float mu, rest, gradient_scale;
    bool nesterov;

    /* u of one element, from its scaled gradient and its new momentum. */
    __device__ float update(float g, float m) const { return nesterov ? mu * m + rest * g : m; }
};

static __device__ MuonRates rates_of(const MuonAttrs &attrs, const StepState *step, float norm) {
    double mu = muon_momentum(&attrs, step->adam_step);
    double scale = adamw_gradient_scale(0, (double)step->loss_scale, (double)norm);
    return MuonRates{(float)mu, (float)(1 - mu), (float)scale, attrs.nesterov};
}

/* ---- momentum -------------------------------------------------------------------------------- */

/* Runs only in a skipped step. */
template <typename T, typename X>
static __device__ void first_nonfinite_keep(const MuonParams<T, X> &p, int64_t first, int64_t start,
                                            int64_t end) {
    if (p.first_nonfinite == NULL) return;
    for (int64_t i = start + threadIdx.x; i < end; i += THREADS) {
        if (isfinite(p.grad[first + i])) continue;
        atomicMax(p.first_nonfinite,
                  (unsigned long long)adamw_first_nonfinite(p.step->step, p.offset + first + i));
        return; /* this thread's later elements have smaller codes */
    }
}

/* m <- mu m + (1 - mu) g, and the sum of u^2 over this block's part of a matrix. Block index:
 * (part, matrix). */
template <typename T, typename X, int W>
static __global__ void __launch_bounds__(THREADS) momentum_kernel(MuonParams<T, X> p) {
    const CudaMuonMatrix matrix = p.matrices[blockIdx.y];
    int64_t count = p.rows * p.columns,
            each = (count + MUON_NORM_PARTS * W - 1) / (MUON_NORM_PARTS * W) * W,
            start = blockIdx.x * each, end = start + each < count ? start + each : count;
    float norm = *p.norm;
    if (!isfinite(norm)) {
        first_nonfinite_keep(p, matrix.first, start, end);
        return;
    }
    MuonRates rates = rates_of(p.attrs, p.step, norm);
    float sum = 0;
    for (int64_t i = start + (int64_t)threadIdx.x * W; i < end; i += THREADS * W) {
        float g[W], m[W];
        load<W>(p.grad + matrix.first + i, g);
        load<W>(p.momentum + matrix.momentum + i, m);
#pragma unroll
        for (int k = 0; k < W; k++) {
            g[k] *= rates.gradient_scale;
            m[k] = rates.mu * m[k] + rates.rest * g[k];
            float u = rates.update(g[k], m[k]);
            sum += u * u;
        }
        store<W>(p.momentum + matrix.momentum + i, m);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) p.parts[blockIdx.y * MUON_NORM_PARTS + blockIdx.x] = sum;
}

/* ---- X --------------------------------------------------------------------------------------- */

/* 1 / (s |u| + eps), from the parts; the same in every thread. */
template <typename T, typename X>
static __device__ float normalization(const MuonParams<T, X> &p, int matrix) {
    __shared__ float shared;
    if (threadIdx.x < 32) {
        const float *parts = p.parts + matrix * MUON_NORM_PARTS;
        double sum = 0;
        for (int i = (int)threadIdx.x; i < MUON_NORM_PARTS; i += 32) sum += (double)parts[i];
        sum = warp_sum(sum);
        if (threadIdx.x == 0)
            shared = (float)(1 / ((double)p.norm_factor * sqrt(sum) + MUON_NORM_EPS));
    }
    __syncthreads();
    return shared;
}

/* x <- u / (s |u| + eps), transposed if the matrix is tall. Block index: (tile of columns, tile of
 * rows, matrix). */
template <typename T, typename X, bool TALL, int W>
static __global__ void __launch_bounds__(THREADS) stage_kernel(MuonParams<T, X> p) {
    __shared__ float tile[TALL ? TILE : 1][TILE + 1];
    const CudaMuonMatrix matrix = p.matrices[blockIdx.z];
    const TileThread<W> thread;
    float norm = *p.norm;
    if (!isfinite(norm)) return;
    MuonRates rates = rates_of(p.attrs, p.step, norm);
    float normalized = normalization(p, (int)blockIdx.z);
    X *x = p.x + (int64_t)blockIdx.z * p.rows * p.columns;
    int64_t row = (int64_t)blockIdx.y * TILE, column = (int64_t)blockIdx.x * TILE;
#pragma unroll
    for (int i = thread.line; i < TILE; i += thread.LINES) {
        if (row + i >= p.rows || column + thread.lane >= p.columns) continue;
        int64_t at = (row + i) * p.columns + column + thread.lane;
        float u[W], m[W];
        load<W>(p.grad + matrix.first + at, u);
        load<W>(p.momentum + matrix.momentum + at, m);
#pragma unroll
        for (int k = 0; k < W; k++) {
            u[k] = normalized * rates.update(u[k] * rates.gradient_scale, m[k]);
            if constexpr (TALL) tile[i][thread.lane + k] = u[k];
        }
        if constexpr (!TALL) store<W>(x + at, u);
    }
    if constexpr (TALL) {
        __syncthreads();
        for (int i = thread.line; i < TILE; i += thread.LINES) {
            if (column + i >= p.columns || row + thread.lane >= p.rows) continue;
            float u[W];
#pragma unroll
            for (int k = 0; k < W; k++) u[k] = tile[thread.lane + k][i];
            store<W>(x + (column + i) * p.rows + row + thread.lane, u);
        }
    }
}

/* ---- NorMuon --------------------------------------------------------------------------------- */

/* The row's moment and sum of squares. */
template <typename T, typename X>
static __device__ void row_keep(const MuonParams<T, X> &p, int matrix, int64_t row, float sum) {
    if (!isfinite(*p.norm)) return;
    float *moment = p.row_moments + p.matrices[matrix].row + row;
    *moment =
        (float)p.attrs.beta2 * *moment + (float)(1 - p.attrs.beta2) * (sum / (float)p.columns);
    p.sums[matrix * p.rows + row] = sum;
}

/* A warp for each row of a matrix that is not tall. Block index: (rows, matrix). */
template <typename T, typename X, int W>
static __global__ void __launch_bounds__(THREADS) wide_rows_kernel(MuonParams<T, X> p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (row >= p.rows) return;
    const X *x = p.x + ((int64_t)blockIdx.y * p.rows + row) * p.columns;
    float sum = 0;
    for (int64_t j = threadIdx.x % 32 * W; j < p.columns; j += 32 * W) {
        float values[W];
        load<W>(x + j, values);
#pragma unroll
        for (int k = 0; k < W; k++) sum += values[k] * values[k];
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) row_keep(p, (int)blockIdx.y, row, sum);
}

/* The rows of a tall matrix are the columns of x (columns, rows): 32 W a block, and each of the
 * warps sums a part of them. */
template <typename T, typename X, int W>
static __global__ void __launch_bounds__(THREADS) tall_rows_kernel(MuonParams<T, X> p) {
    __shared__ float sums[WARPS][32 * W];
    int lane = (int)threadIdx.x % 32 * W, warp = (int)threadIdx.x / 32;
    int64_t first = (int64_t)blockIdx.x * 32 * W;
    const X *x = p.x + (int64_t)blockIdx.y * p.rows * p.columns;
    float sum[W] = {};
    for (int64_t j = warp; first + lane < p.rows && j < p.columns; j += WARPS) {
        float values[W];
        load<W>(x + j * p.rows + first + lane, values);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += values[k] * values[k];
    }
#pragma unroll
    for (int k = 0; k < W; k++) sums[warp][lane + k] = sum[k];
    __syncthreads();
    int row = (int)threadIdx.x;
    if (row >= 32 * W || first + row >= p.rows) return;
    float total = sums[0][row];
    for (int i = 1; i < WARPS; i++) total += sums[i][row];
    row_keep(p, (int)blockIdx.y, first + row, total);
}

template <typename T, typename X>
static __device__ float row_factor(const MuonParams<T, X> &p, int matrix, int64_t row) {
    return 1 / (sqrtf(p.row_moments[p.matrices[matrix].row + row]) + (float)MUON_ROW_EPS);
}

/* |X| before and after the rows are divided. A block for each matrix. */
template <typename T, typename X>
static __global__ void __launch_bounds__(THREADS) scale_kernel(MuonParams<T, X> p) {
    if (!isfinite(*p.norm)) return;
    double before = 0, after = 0;
    for (int64_t row = threadIdx.x; row < p.rows; row += THREADS) {
        double sum = (double)p.sums[blockIdx.x * p.rows + row],
               factor = (double)row_factor(p, (int)blockIdx.x, row);
        before += sum;
        after += sum * factor * factor;
    }
    before = block_sum(before);
    after = block_sum(after);
    if (threadIdx.x == 0) p.scales[blockIdx.x] = after > 0 ? (float)sqrt(before / after) : 0.0f;
}

/* ---- weights --------------------------------------------------------------------------------- */

/* x: the update of W weights; `factor` divides their row. */
template <int W, typename T, typename X>
static __device__ void weights_update(const MuonParams<T, X> &p, const CudaMuonMatrix &matrix,
                                      int64_t at, const float (&x)[W], float factor, float lr) {
    float *master = p.master + (p.half_weight == NULL ? matrix.first : matrix.master) + at, w[W];
    load<W>(master, w);
#pragma unroll
    for (int k = 0; k < W; k++) {
        float update = factor * x[k],
              decay = p.attrs.cautious && update * w[k] < 0 ? 0.0f : (float)p.attrs.weight_decay;
        w[k] -= lr * (p.shape_scale * update + decay * w[k]);
    }
    store<W>(master, w);
    if (p.half_weight != NULL) store<W>(p.half_weight + matrix.first + at, w);
}

/* Block index: (tile of columns, tile of rows, matrix). */
template <typename T, typename X, bool TALL, int W>
static __global__ void __launch_bounds__(THREADS) weights_kernel(MuonParams<T, X> p) {
    __shared__ float tile[TALL ? TILE : 1][TILE + 1], factors[TILE];
    const CudaMuonMatrix matrix = p.matrices[blockIdx.z];
    const TileThread<W> thread;
    if (!isfinite(*p.norm)) return;
    const X *x = p.x + (int64_t)blockIdx.z * p.rows * p.columns;
    int64_t row = (int64_t)blockIdx.y * TILE, column = (int64_t)blockIdx.x * TILE;
    float lr = p.step->lr * (float)p.attrs.lr_scale;
    if (threadIdx.x < TILE && row + threadIdx.x < p.rows) {
        bool divides = p.row_moments != NULL;
        factors[threadIdx.x] =
            divides ? p.scales[blockIdx.z] * row_factor(p, (int)blockIdx.z, row + threadIdx.x) : 1;
    }
    if constexpr (TALL) {
        for (int i = thread.line; i < TILE; i += thread.LINES) {
            if (column + i >= p.columns || row + thread.lane >= p.rows) continue;
            float values[W];
            load<W>(x + (column + i) * p.rows + row + thread.lane, values);
#pragma unroll
            for (int k = 0; k < W; k++) tile[thread.lane + k][i] = values[k];
        }
    }
    __syncthreads();
#pragma unroll
    for (int i = thread.line; i < TILE; i += thread.LINES) {
        if (row + i >= p.rows || column + thread.lane >= p.columns) continue;
        int64_t at = (row + i) * p.columns + column + thread.lane;
        float values[W];
        if constexpr (TALL) {
#pragma unroll
            for (int k = 0; k < W; k++) values[k] = tile[i][thread.lane + k];
        } else {
            load<W>(x + at, values);
        }
        weights_update<W>(p, matrix, at, values, factors[i], lr);
    }
}
