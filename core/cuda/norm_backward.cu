/* With n = (x - mean) rstd and g = dy gamma,
 *     dx = rstd (g - mean(g) - n mean(g n)),
 * without mean and mean(g) for rmsnorm.
 *
 * Bound by memory: dy, x and (with accumulate) dx are read, dx is written: 403 MB and 96 us at
 * (65536, 768) in bf16 and 4.2 TB/s. A warp processes many rows and keeps its share of dgamma and
 * dbeta in registers, which saves a separate pass. The warps of a block are added in order, then
 * the blocks (columns_sum, 3 us). Without gamma there are no such sums. */
#include "core/cuda/columns.cuh"
#include "core/cuda/norm_form.cuh"

enum { WARPS = 8, THREADS = WARPS * 32 };

template <typename T>
struct BackwardParams {
    T *dx;        /* may be NULL */
    float *parts; /* (blocks, lines, C): dgamma, dbeta */
    const T *dy, *x, *gamma;
    const float *means, *rstds;
    int64_t rows, C;
    bool accumulate;
};

template <typename T, int W>
static __device__ __forceinline__ void dx_pack(const BackwardParams<T> &p, int64_t i, float rstd,
                                               float mean_g, float mean_gn, const float (&g)[W],
                                               const float (&n)[W]) {
    float d[W], old[W] = {};
    if (p.accumulate) load<W>(p.dx + i, old);
#pragma unroll
    for (int k = 0; k < W; k++) d[k] = old[k] + rstd * (g[k] - mean_g - n[k] * mean_gn);
    store<W>(p.dx + i, d);
}

/* g, n, and the contributions to dgamma and dbeta, of one pack. */
template <typename Form, typename T, int W>
static __device__ __forceinline__ void row_pack(const BackwardParams<T> &p, int64_t row, int64_t j,
                                                float mean, float rstd, float (&dy)[W],
                                                float (&g)[W], float (&n)[W]) {
    float gamma[W];
    load<W>(p.dy + row * p.C + j, dy);
    load<W>(p.x + row * p.C + j, n);
    load_gamma<Form>(p.gamma, j, gamma);
#pragma unroll
    for (int k = 0; k < W; k++) {
        n[k] = (n[k] - mean) * rstd;
        g[k] = dy[k] * gamma[k];
    }
}

/* Adds the sums of the warps in order into the block's line of parts. */
template <typename T, int W, int PACKS, typename Form>
static __device__ void parts_store(const BackwardParams<T> &p, const float (&dgamma)[PACKS][W],
                                   const float (&dbeta)[PACKS][W]) {
    extern __shared__ float sums[]; /* (lines, C) */
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int turn = 0; turn < WARPS; turn++) {
        __syncthreads();
        if (turn != warp) continue;
#pragma unroll
        for (int m = 0; m < PACKS; m++) {
            int64_t j = (m * 32 + lane) * W;
            if (j >= p.C) continue;
            float a[W] = {}, b[W] = {};
            if (turn > 0) {
                load<W>(sums + j, a);
                if constexpr (Form::centered) load<W>(sums + p.C + j, b);
            }
#pragma unroll
            for (int k = 0; k < W; k++) a[k] += dgamma[m][k], b[k] += dbeta[m][k];
            store<W>(sums + j, a);
            if constexpr (Form::centered) store<W>(sums + p.C + j, b);
        }
    }
    __syncthreads();
    for (int64_t j = threadIdx.x; j < Form::lines * p.C; j += THREADS)
        p.parts[blockIdx.x * Form::lines * p.C + j] = sums[j];
}

/* The packs of a row in their stored dtype: half the registers of f32, so all loads of a row can be
 * pending at once. */
template <typename T, int W>
struct RawPack {
    using Word = std::conditional_t<W * sizeof(T) % 16 == 0, uint4, T>;
    Word words[W * sizeof(T) / sizeof(Word)];

    __device__ __forceinline__ void read(const T *from) {
#pragma unroll
        for (int i = 0; i < (int)(sizeof words / sizeof words[0]); i++) {
            words[i] = reinterpret_cast<const Word *>(from)[i];
        }
    }
    __device__ __forceinline__ float at(int k) const {
        return to_float(reinterpret_cast<const T *>(words)[k]);
    }
};

template <typename T, int W, int PACKS, typename Form>
static __global__ void __launch_bounds__(THREADS, PACKS *W <= 24 ? 2 : 1)
    backward_kernel(BackwardParams<T> p) {
    int lane = threadIdx.x % 32;
    float dgamma[PACKS][W] = {}, dbeta[PACKS][W] = {}, per_column = 1.0f / (float)p.C;
    for (int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; row < p.rows;
         row += (int64_t)gridDim.x * WARPS) {
        RawPack<T, W> dy[PACKS] = {}, x[PACKS] = {}, old[PACKS] = {};
        float sum_g = 0, sum_gn = 0, gamma[W];
        float mean = Form::centered ? p.means[row] : 0.0f, rstd = p.rstds[row];
#pragma unroll
        for (int m = 0; m < PACKS; m++) {
            int64_t j = (m * 32 + lane) * W, i = row * p.C + j;
            if (j >= p.C) continue;
            dy[m].read(p.dy + i);
            x[m].read(p.x + i);
            if (p.accumulate) old[m].read(p.dx + i);
        }
#pragma unroll
        for (int m = 0; m < PACKS; m++) {
            int64_t j = (m * 32 + lane) * W;
            if (j >= p.C) continue;
            load_gamma<Form>(p.gamma, j, gamma);
#pragma unroll
            for (int k = 0; k < W; k++) {
                float d = dy[m].at(k), n = (x[m].at(k) - mean) * rstd, g = d * gamma[k];
                dgamma[m][k] += d * n;
                dbeta[m][k] += d;
                sum_g += g;
                sum_gn += g * n;
            }
        }
        if (p.dx == NULL) continue;
        float mean_g = Form::centered ? warp_sum(sum_g) * per_column : 0.0f,
              mean_gn = warp_sum(sum_gn) * per_column;
#pragma unroll
        for (int m = 0; m < PACKS; m++) {
            int64_t j = (m * 32 + lane) * W;
            if (j >= p.C) continue;
            float d[W];
            load_gamma<Form>(p.gamma, j, gamma);
#pragma unroll
            for (int k = 0; k < W; k++) {
                float n = (x[m].at(k) - mean) * rstd;
                d[k] = old[m].at(k) + rstd * (dy[m].at(k) * gamma[k] - mean_g - n * mean_gn);
            }
            store<W>(p.dx + row * p.C + j, d);
        }
    }
    if constexpr (Form::weighted) parts_store<T, W, PACKS, Form>(p, dgamma, dbeta);
}

/* Rows of any length: dx with one warp per row in two passes; dgamma and dbeta with one thread per
 * column. */
template <typename T, int W, typename Form>
static __global__ void __launch_bounds__(THREADS) dx_long_kernel(BackwardParams<T> p) {
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, first = threadIdx.x % 32 * W;
    if (row >= p.rows) return;
    float dy[W], g[W], n[W], sum_g = 0, sum_gn = 0;
    float mean = Form::centered ? p.means[row] : 0.0f, rstd = p.rstds[row];
    for (int64_t j = first; j < p.C; j += 32 * W) {
        row_pack<Form>(p, row, j, mean, rstd, dy, g, n);
#pragma unroll
        for (int k = 0; k < W; k++) sum_g += g[k], sum_gn += g[k] * n[k];
    }
    float mean_g = Form::centered ? warp_sum(sum_g) / (float)p.C : 0.0f,
          mean_gn = warp_sum(sum_gn) / (float)p.C;
    for (int64_t j = first; j < p.C; j += 32 * W) {
        row_pack<Form>(p, row, j, mean, rstd, dy, g, n);
        dx_pack<T, W>(p, row * p.C + j, rstd, mean_g, mean_gn, g, n);
    }
}

template <typename T, typename Form>
static __global__ void __launch_bounds__(THREADS) parts_long_kernel(BackwardParams<T> p) {
    int64_t j = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (j >= p.C) return;
    float dgamma = 0, dbeta = 0;
    for (int64_t row = blockIdx.y; row < p.rows; row += gridDim.y) {
        float dy = to_float(p.dy[row * p.C + j]);
        float x = to_float(p.x[row * p.C + j]);
        dgamma += dy * (Form::centered ? x - p.means[row] : x) * p.rstds[row];
        dbeta += dy;
    }
    p.parts[blockIdx.y * Form::lines * p.C + j] = dgamma;
    if constexpr (Form::centered) p.parts[(blockIdx.y * Form::lines + 1) * p.C + j] = dbeta;
}

template <typename T, int W, typename Form>
static Status backward_launch(const BackwardParams<T> &p, unsigned blocks, cudaStream_t stream) {
    return norm_packs<W>(p.C, [&](auto packs) {
        constexpr int PACKS = decltype(packs)::value;
        if constexpr (PACKS == 0) {
            if (p.dx != NULL)
                dx_long_kernel<T, W, Form><<<blocks_for(p.rows, WARPS), THREADS, 0, stream>>>(p);
            TRY(cuda_launched("norm_dx_long"));
            if constexpr (Form::weighted) {
                dim3 grid(blocks_for(p.C, THREADS), blocks);
                parts_long_kernel<T, Form><<<grid, THREADS, 0, stream>>>(p);
            }
        } else {
            size_t shared = Form::lines * p.C * sizeof(float);
            backward_kernel<T, W, PACKS, Form><<<blocks, THREADS, shared, stream>>>(p);
        }
        return cuda_launched("norm_backward");
    });
}

extern "C" Status norm_backward_cuda(const Node *node, void *stream) {
    const NormAttrs *attrs = (const NormAttrs *)node->attrs;
    const Tensor *dy = node->inputs[0], *gamma = node->inputs[2], *dgamma = node->outputs[1],
                 *dbeta = node->outputs[2];
    int64_t rows = tensor_rows(dy), C = tensor_columns(dy);
    TRY(need_f32(dgamma, "the gradient of gamma"));
    TRY(need_f32(dbeta, "the gradient of beta"));
    unsigned blocks = blocks_for(rows, WARPS);
    if (gamma != NULL && blocks > NORM_BLOCKS) blocks = NORM_BLOCKS;
    if (blocks == 0) blocks = 1; /* no rows: the sums must still be set */
    float *parts = data_of<float>(node->workspace);
    TRY(dispatch_real(dy->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        BackwardParams<T> p = {};
        p.dx = data_of<T>(node->outputs[0]), p.parts = parts;
        p.dy = data_of<T>(dy), p.x = data_of<T>(node->inputs[1]), p.gamma = data_of<T>(gamma);
        p.means = data_of<float>(node->inputs[3]), p.rstds = data_of<float>(node->inputs[4]);
        p.rows = rows, p.C = C, p.accumulate = attrs->accumulate;
        bool vector = fits_packs<T>(C, p.dx, p.dy, p.x, p.gamma);
        return dispatch_width<T>(vector, [&](auto width) {
            return norm_form(attrs->options.kind, gamma != NULL, [&](auto form) {
                return backward_launch<T, decltype(width)::value, decltype(form)>(
                    p, blocks, (cudaStream_t)stream);
            });
        });
    }));
    if (gamma == NULL) return Status{STATUS_OK};
    int64_t stride = attrs->options.kind == NORM_LAYER ? 2 * C : C;
    ColumnSum gamma_sum = {data_of<float>(dgamma), parts, attrs->accumulate_gamma};
    ColumnSum beta_sum = {data_of<float>(dbeta), parts + C, attrs->accumulate_beta};
    return columns_sum(gamma_sum, beta_sum, blocks, stride, C, (cudaStream_t)stream);
}
