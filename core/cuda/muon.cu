/* Matrices of one shape are updated together, by batched products over copies in the workspace: a
 * single 768 x 768 product fills a quarter of an H200. The copies are X, in bf16 if the weights
 * have 16 bits; kernels that copy transpose tall matrices, so that the products' inner matrices A
 * have the shorter side. cuBLASLt adds b A and a X in the epilogues of the products.
 *
 * Bytes a weight beside the products, for bf16 weights: the momentum 12, X 10, the update 12, row
 * moments 2: 3.1 GB and 0.75 ms for the 85 M weights in GPT-2 124M's blocks. */
#include "core/ops/muon.h"

#include "core/cuda/cuda_common.cuh"
#include "core/cuda/matmul.cuh"
#include "core/ops/adamw.h"

/* TILE: side of the tiles that copies transpose; 8 warps. */
enum { THREADS = 256, WARPS = THREADS / 32, TILE = 64, TILE_ROWS = THREADS / TILE };

struct CudaMuonMatrix {
    int64_t first, master, momentum, row;
};

/* A batch. `x`: its matrices as the products see them, (n, r, k). */
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

static __device__ float gradient_scale(const StepState *step, float norm) {
    return (float)adamw_gradient_scale(0, (double)step->loss_scale, (double)norm);
}

/* u of one element, from its gradient and its new momentum. */
static __device__ float nesterov(const MuonAttrs &attrs, float mu, float rest, float g, float m) {
    return attrs.nesterov ? mu * m + rest * g : m;
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
    double momentum = muon_momentum(&p.attrs, p.step->step);
    float mu = (float)momentum, rest = (float)(1 - momentum), scale = gradient_scale(p.step, norm);
    float sum = 0;
    for (int64_t i = start + (int64_t)threadIdx.x * W; i < end; i += THREADS * W) {
        float g[W], m[W];
        load<W>(p.grad + matrix.first + i, g);
        load<W>(p.momentum + matrix.momentum + i, m);
#pragma unroll
        for (int k = 0; k < W; k++) {
            g[k] *= scale;
            m[k] = mu * m[k] + rest * g[k];
            float u = nesterov(p.attrs, mu, rest, g[k], m[k]);
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
template <typename T, typename X, bool TALL>
static __global__ void __launch_bounds__(THREADS) stage_kernel(MuonParams<T, X> p) {
    __shared__ float tile[TALL ? TILE : 1][TILE + 1];
    const CudaMuonMatrix matrix = p.matrices[blockIdx.z];
    float norm = *p.norm;
    if (!isfinite(norm)) return;
    double momentum = muon_momentum(&p.attrs, p.step->step);
    float mu = (float)momentum, rest = (float)(1 - momentum), scale = gradient_scale(p.step, norm);
    float normalized = normalization(p, (int)blockIdx.z);
    X *x = p.x + (int64_t)blockIdx.z * p.rows * p.columns;
    int lane = (int)threadIdx.x % TILE, line = (int)threadIdx.x / TILE;
    int64_t row = (int64_t)blockIdx.y * TILE, column = (int64_t)blockIdx.x * TILE;
    for (int i = line; i < TILE; i += TILE_ROWS) {
        if (row + i >= p.rows || column + lane >= p.columns) continue;
        int64_t at = (row + i) * p.columns + column + lane;
        float g = p.grad[matrix.first + at] * scale, m = p.momentum[matrix.momentum + at];
        float u = normalized * nesterov(p.attrs, mu, rest, g, m);
        if constexpr (TALL)
            tile[i][lane] = u;
        else
            x[at] = from_float<X>(u);
    }
    if constexpr (TALL) {
        __syncthreads();
        for (int i = line; i < TILE; i += TILE_ROWS) {
            if (column + i < p.columns && row + lane < p.rows)
                x[(column + i) * p.rows + row + lane] = from_float<X>(tile[lane][i]);
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
template <typename T, typename X>
static __global__ void __launch_bounds__(THREADS) wide_rows_kernel(MuonParams<T, X> p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (row >= p.rows) return;
    const X *x = p.x + ((int64_t)blockIdx.y * p.rows + row) * p.columns;
    float sum = 0;
    for (int64_t j = threadIdx.x % 32; j < p.columns; j += 32) {
        float value = to_float(x[j]);
        sum += value * value;
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) row_keep(p, (int)blockIdx.y, row, sum);
}

/* The rows of a tall matrix are the columns of x (columns, rows): 32 a block, and each of the warps
 * sums a part of them. */
template <typename T, typename X>
static __global__ void __launch_bounds__(THREADS) tall_rows_kernel(MuonParams<T, X> p) {
    __shared__ float sums[WARPS][32];
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    int64_t row = (int64_t)blockIdx.x * 32 + lane;
    const X *x = p.x + (int64_t)blockIdx.y * p.rows * p.columns;
    float sum = 0;
    for (int64_t j = warp; row < p.rows && j < p.columns; j += WARPS) {
        float value = to_float(x[j * p.rows + row]);
        sum += value * value;
    }
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp != 0 || row >= p.rows) return;
    for (int i = 1; i < WARPS; i++) sum += sums[i][lane];
    row_keep(p, (int)blockIdx.y, row, sum);
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

template <typename T, typename X>
static __device__ void weight_update(const MuonParams<T, X> &p, const CudaMuonMatrix &matrix,
                                     int64_t at, float x, float lr) {
    float *master = p.master + (p.half_weight == NULL ? matrix.first : matrix.master) + at;
    float w = *master, decay = p.attrs.cautious && x * w < 0 ? 0.0f : (float)p.attrs.weight_decay;
    w -= lr * (p.shape_scale * x + decay * w);
    *master = w;
    if (p.half_weight != NULL) p.half_weight[matrix.first + at] = from_float<T>(w);
}

/* Block index: (tile of columns, tile of rows, matrix). */
template <typename T, typename X, bool TALL>
static __global__ void __launch_bounds__(THREADS) weights_kernel(MuonParams<T, X> p) {
    __shared__ float tile[TALL ? TILE : 1][TILE + 1], factors[TILE];
    const CudaMuonMatrix matrix = p.matrices[blockIdx.z];
    if (!isfinite(*p.norm)) return;
    const X *x = p.x + (int64_t)blockIdx.z * p.rows * p.columns;
    int lane = (int)threadIdx.x % TILE, line = (int)threadIdx.x / TILE;
    int64_t row = (int64_t)blockIdx.y * TILE, column = (int64_t)blockIdx.x * TILE;
    float lr = p.step->lr * (float)p.attrs.lr_scale;
    if (threadIdx.x < TILE && row + threadIdx.x < p.rows) {
        bool divides = p.row_moments != NULL;
        factors[threadIdx.x] =
            divides ? p.scales[blockIdx.z] * row_factor(p, (int)blockIdx.z, row + threadIdx.x) : 1;
    }
    if constexpr (TALL) {
        for (int i = line; i < TILE; i += TILE_ROWS) {
            if (column + i < p.columns && row + lane < p.rows)
                tile[lane][i] = to_float(x[(column + i) * p.rows + row + lane]);
        }
    }
    __syncthreads();
    for (int i = line; i < TILE; i += TILE_ROWS) {
        if (row + i >= p.rows || column + lane >= p.columns) continue;
        int64_t at = (row + i) * p.columns + column + lane;
        float value;
        if constexpr (TALL)
            value = tile[i][lane];
        else
            value = to_float(x[at]);
        weight_update(p, matrix, at, factors[i] * value, lr);
    }
}

/* ---- launches -------------------------------------------------------------------------------- */

static Status product(MatmulForm form, DType dtype, int64_t n, int64_t rows, int64_t columns,
                      int64_t depth, const MatmulOperands &operands, cudaStream_t stream) {
    MatmulShape shape = {};
    shape.rows = rows, shape.columns = columns, shape.depth = depth, shape.batch = n;
    shape.form = form, shape.dtype = shape.out_dtype = dtype;
    shape.accumulate = operands.addend != NULL;
    return matmul_run(shape, &operands, stream);
}

static MatmulOperands operands_of(const void *a, const void *b, void *out) {
    MatmulOperands operands = {};
    operands.a = a, operands.b = b, operands.out = out;
    return operands;
}

static MatmulOperands plus(MatmulOperands operands, double scale, double addend_scale,
                           const void *addend) {
    operands.scale = (float)scale, operands.addend_scale = (float)addend_scale;
    operands.addend = addend;
    return operands;
}

/* A = X X^T, B = c A A + b A, Y = B X + a X; A and A^T are equal. Returns X in *x. */
static Status iterate(MuonIteration iteration, DType dtype, int64_t n, int64_t r, int64_t k,
                      char *workspace, const MuonPlaces &places, void **x, cudaStream_t stream) {
    void *from = workspace + places.x, *to = workspace + places.y, *a = workspace + places.a,
         *b = workspace + places.b;
    for (int i = 0; i < MUON_ITERATIONS; i++) {
        MuonCoefficients c = muon_coefficients(iteration, i);
        TRY(product(MATMUL_NT, dtype, n, r, r, k, operands_of(from, from, a), stream));
        TRY(product(MATMUL_NT, dtype, n, r, r, r, plus(operands_of(a, a, b), c.c, c.b, a), stream));
        TRY(product(MATMUL_NN, dtype, n, r, k, r, plus(operands_of(b, from, to), 1, c.a, from),
                    stream));
        void *next = from;
        from = to;
        to = next;
    }
    *x = from;
    return Status{STATUS_OK};
}

template <typename T, typename X>
static bool momentum_fits_packs(const MuonParams<T, X> &p, int n) {
    bool fit = true;
    for (int i = 0; i < n; i++)
        fit &= fits_packs<float>(p.rows * p.columns, p.grad + p.matrices[i].first,
                                 p.momentum + p.matrices[i].momentum);
    return fit;
}

template <typename T, typename X>
static Status momentum_launch(const MuonParams<T, X> &p, int n, cudaStream_t stream) {
    dim3 grid(MUON_NORM_PARTS, (unsigned)n);
    if (momentum_fits_packs(p, n))
        momentum_kernel<T, X, 4><<<grid, THREADS, 0, stream>>>(p);
    else
        momentum_kernel<T, X, 1><<<grid, THREADS, 0, stream>>>(p);
    return cuda_launched("muon's momentum");
}

template <typename T, typename X>
static dim3 tiles_of(const MuonParams<T, X> &p, int n) {
    return dim3(blocks_for(p.columns, TILE), blocks_for(p.rows, TILE), (unsigned)n);
}

template <typename T, typename X>
static Status rows_launch(const MuonParams<T, X> &p, int n, cudaStream_t stream) {
    if (p.row_moments == NULL) return Status{STATUS_OK};
    if (p.rows > p.columns) {
        dim3 grid(blocks_for(p.rows, 32), (unsigned)n);
        tall_rows_kernel<<<grid, THREADS, 0, stream>>>(p);
    } else {
        dim3 grid(blocks_for(p.rows, WARPS), (unsigned)n);
        wide_rows_kernel<<<grid, THREADS, 0, stream>>>(p);
    }
    TRY(cuda_launched("muon's rows"));
    scale_kernel<<<(unsigned)n, THREADS, 0, stream>>>(p);
    return cuda_launched("muon's scales");
}

template <typename T, typename X, bool TALL>
static Status batch_run(MuonParams<T, X> &p, int n, char *workspace, const MuonPlaces &places,
                        cudaStream_t stream) {
    constexpr DType dtype = std::is_same_v<X, float> ? DTYPE_F32 : DTYPE_BF16;
    void *x;
    TRY(momentum_launch(p, n, stream));
    stage_kernel<T, X, TALL><<<tiles_of(p, n), THREADS, 0, stream>>>(p);
    TRY(cuda_launched("muon's copy"));
    TRY(iterate(p.attrs.iteration, dtype, n, TALL ? p.columns : p.rows, TALL ? p.rows : p.columns,
                workspace, places, &x, stream));
    p.x = (X *)x;
    TRY(rows_launch(p, n, stream));
    weights_kernel<T, X, TALL><<<tiles_of(p, n), THREADS, 0, stream>>>(p);
    return cuda_launched("muon's update");
}

template <typename T, typename X>
static void batch_describe(MuonParams<T, X> &p, const MuonWork *work, MuonBatch batch,
                           char *workspace, const MuonPlaces &places) {
    const MuonMatrix *matrices = work->matrices + batch.first;
    p.rows = matrices->rows, p.columns = matrices->columns;
    p.norm_factor = (float)muon_norm_factor(work->attrs.iteration);
    p.shape_scale = (float)muon_shape_scale(matrices);
    p.x = (X *)(workspace + places.x);
    p.parts = (float *)(workspace + places.parts);
    p.sums = (float *)(workspace + places.sums);
    p.scales = (float *)(workspace + places.scales);
    for (int i = 0; i < batch.count; i++) {
        p.matrices[i] = CudaMuonMatrix{matrices[i].first, matrices[i].master, matrices[i].momentum,
                                       matrices[i].row};
    }
}

extern "C" Status muon_cuda(const Node *node, void *stream) {
    const Tensor *weight = node->outputs[0], *master = node->outputs[1];
    const MuonWork *work = (const MuonWork *)node->attrs;
    char *workspace = data_of<char>(node->workspace);
    TRY(need_f32(node->inputs[0], "muon's gradient"));
    if (master == NULL) TRY(need_f32(weight, "a weight without a master copy"));
    return dispatch_real(weight->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        using X = std::conditional_t<std::is_same_v<T, float>, float, __nv_bfloat16>;
        MuonParams<T, X> p = {};
        p.grad = data_of<float>(node->inputs[0]), p.norm = data_of<float>(node->inputs[1]);
        p.step = data_of<StepState>(node->inputs[2]);
        p.master = data_of<float>(master == NULL ? weight : master);
        p.half_weight = master == NULL ? NULL : data_of<T>(weight);
        p.momentum = data_of<float>(node->outputs[2]);
        p.row_moments = data_of<float>(node->outputs[3]);
        p.first_nonfinite = data_of<unsigned long long>(node->outputs[4]);
        p.offset = (int64_t)(node->inputs[0]->offset / sizeof(float));
        p.attrs = work->attrs;
        for (int i = 0; i < work->n_batches; i++) {
            MuonBatch batch = work->batches[i];
            MuonPlaces places = muon_places(&work->matrices[batch.first], batch.count, sizeof(X));
            batch_describe(p, work, batch, workspace, places);
            if (p.rows > p.columns)
                TRY((batch_run<T, X, true>(p, batch.count, workspace, places,
                                           (cudaStream_t)stream)));
            else
                TRY((batch_run<T, X, false>(p, batch.count, workspace, places,
                                            (cudaStream_t)stream)));
        }
        return Status{STATUS_OK};
    });
}
