/* Bound by memory: without norm, q and k are read and written in place, in both directions: 268 MB
 * and 64 us for 65536 rows of 12 and 4 heads of 64 in bf16 at 4.2 TB/s. With norm, forward moves
 * the packed tensor twice (336 MB, 80 us); backward reads the gradient and q and k, and writes the
 * gradient in place (403 MB, 96 us).
 *
 * A lane holds a unit of a head: the two packs of a pair (i, i + pairs), or two adjacent packs of
 * the elements that do not rotate. So each element is read once, and the change may be in place.
 * With norm, 2 to 32 lanes share a head and add their squares by shuffles. If packs of 16 bytes do
 * not fit the sizes or addresses, a pack is one element, and a lane processes several units and
 * reads them again. */
#include "core/ops/qk.h"

#include "core/cuda/columns.cuh"
#include "core/cuda/cuda_common.cuh"

enum { THREADS = 256 };

template <typename T>
struct QkParams {
    T *y;         /* forward: the result; backward: the gradient, in place */
    const T *x;   /* qkv */
    float *rstds; /* written or read; may be NULL */
    const float *table;
    const T *q_gamma, *k_gamma;
    float *parts; /* backward: (q and k, blocks, HS) sums of the gradients of the gammas, or NULL */
    int rows, table_rows, columns;
    int HS, pairs, q_heads, k_heads;
    int units, lanes; /* of a head */
    float eps, direction;
};

/* The elements of unit `index` in its head. */
struct Unit {
    int first, second;
    bool rotates, has_second;
};

template <int W, typename T>
static __device__ __forceinline__ Unit unit_at(const QkParams<T> &p, int index) {
    int rotating = p.pairs / W, rest = 2 * p.pairs + (index - rotating) * 2 * W;
    if (index < rotating) return Unit{index * W, p.pairs + index * W, true, true};
    return Unit{rest, rest + W, false, rest + W < p.HS};
}

template <int W, typename T>
static __device__ __forceinline__ void unit_load(const T *head, Unit unit, float (&v)[2][W]) {
    load<W>(head + unit.first, v[0]);
    if (unit.has_second) {
        load<W>(head + unit.second, v[1]);
    } else {
#pragma unroll
        for (int k = 0; k < W; k++) v[1][k] = 0;
    }
}

template <int W, typename T>
static __device__ __forceinline__ void unit_store(T *head, Unit unit, const float (&v)[2][W]) {
    store<W>(head + unit.first, v[0]);
    if (unit.has_second) store<W>(head + unit.second, v[1]);
}

/* v *= gamma; NULL: 1. */
template <int W, typename T>
static __device__ __forceinline__ void unit_scale(const T *gamma, Unit unit, float (&v)[2][W]) {
    if (gamma == NULL) return;
    float scale[2][W];
    unit_load<W>(gamma, unit, scale);
#pragma unroll
    for (int k = 0; k < W; k++) v[0][k] *= scale[0][k], v[1][k] *= scale[1][k];
}

/* Rotates by the angles of the row; direction -1: back. */
template <int W, typename T>
static __device__ __forceinline__ void unit_rotate(const QkParams<T> &p, int row, Unit unit,
                                                   float (&v)[2][W]) {
    if (!unit.rotates) return;
    const float *angles =
        p.table + (int64_t)((unsigned)row % (unsigned)p.table_rows) * 2 * p.pairs + unit.first;
    float cosine[W], sine[W];
    load<W>(angles, cosine);
    load<W>(angles + p.pairs, sine);
#pragma unroll
    for (int k = 0; k < W; k++) {
        float a = v[0][k], b = v[1][k], s = p.direction * sine[k];
        v[0][k] = a * cosine[k] - b * s;
        v[1][k] = b * cosine[k] + a * s;
    }
}

/* The sum over `lanes` adjacent lanes, a power of two, in each of them. */
static __device__ __forceinline__ float lanes_sum(float x, int lanes) {
    for (int offset = lanes / 2; offset > 0; offset /= 2)
        x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
    return x;
}

/* A group of lanes processes one of the first `heads` heads of a row. */
template <typename T, int W, bool NORM>
static __global__ void __launch_bounds__(THREADS) forward_kernel(QkParams<T> p, unsigned heads) {
    unsigned groups = THREADS / p.lanes, group = threadIdx.x / p.lanes;
    unsigned item = blockIdx.x * groups + group, row = item / heads;
    int lane = (int)(threadIdx.x - group * p.lanes), head = (int)(item - row * heads);
    /* lanes beyond the end only join the shuffles */
    int end = group < groups && row < (unsigned)p.rows ? p.units : 0;
    bool is_v = head >= p.q_heads + p.k_heads;
    int64_t at = (int64_t)row * p.columns + (int64_t)head * p.HS;
    float v[2][W], rstd = 1;
    if constexpr (NORM) {
        float squares = 0;
        for (int index = lane; index < end; index += p.lanes) {
            unit_load<W>(p.x + at, unit_at<W>(p, index), v);
#pragma unroll
            for (int k = 0; k < W; k++) squares += v[0][k] * v[0][k] + v[1][k] * v[1][k];
        }
        float mean = lanes_sum(squares, p.lanes) / (float)p.HS;
        rstd = isfinite(mean) ? 1.0f / sqrtf(mean + p.eps) : NAN;
        if (p.rstds != NULL && end > 0 && lane == 0 && !is_v)
            p.rstds[(int64_t)row * (p.q_heads + p.k_heads) + head] = rstd;
    }
    for (int index = lane; index < end; index += p.lanes) {
        Unit unit = unit_at<W>(p, index);
        if (!NORM || W == 1) unit_load<W>(p.x + at, unit, v);
        if (NORM && !is_v) {
#pragma unroll
            for (int k = 0; k < W; k++) v[0][k] *= rstd, v[1][k] *= rstd;
            unit_scale<W>(head < p.q_heads ? p.q_gamma : p.k_gamma, unit, v);
        }
        if (!is_v) unit_rotate<W>(p, (int)row, unit, v);
        unit_store<W>(p.y + at, unit, v);
    }
}

/* g = the gradient, rotated back; n = x rstd. */
template <int W, typename T>
static __device__ __forceinline__ void unit_gradient(const QkParams<T> &p, int row, int64_t at,
                                                     Unit unit, float rstd, float (&g)[2][W],
                                                     float (&n)[2][W]) {
    unit_load<W>(p.y + at, unit, g);
    unit_load<W>(p.x + at, unit, n);
    unit_rotate<W>(p, row, unit, g);
#pragma unroll
    for (int k = 0; k < W; k++) n[0][k] *= rstd, n[1][k] *= rstd;
}

/* sums, of a head's length in shared memory, += g n. */
template <int W>
static __device__ __forceinline__ void unit_add(float *sums, Unit unit, const float (&g)[2][W],
                                                const float (&n)[2][W]) {
    float sum[2][W];
    unit_load<W>(sums, unit, sum);
#pragma unroll
    for (int k = 0; k < W; k++) sum[0][k] += g[0][k] * n[0][k], sum[1][k] += g[1][k] * n[1][k];
    unit_store<W>(sums, unit, sum);
}

/* Writes the block's line of parts: the sums of its groups of lanes, in order. */
template <typename T>
static __device__ __forceinline__ void parts_store(const QkParams<T> &p, const float *sums) {
    __syncthreads();
    float *line = p.parts + ((int64_t)blockIdx.y * gridDim.x + blockIdx.x) * p.HS;
    for (int j = (int)threadIdx.x; j < p.HS; j += THREADS) {
        float sum = 0;
        for (int group = 0; group < THREADS / p.lanes; group++) sum += sums[group * p.HS + j];
        line[j] = sum;
    }
}

/* Block index: (blocks of heads, q or k). With g as above, times gamma: the gradient becomes
 * rstd (g - n mean(g n)). A lane keeps its sums for gamma in shared memory, which costs a quarter
 * of the time of its reads. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) backward_kernel(QkParams<T> p) {
    extern __shared__ uint4 shared[];
    bool is_k = blockIdx.y == 1;
    int heads = is_k ? p.k_heads : p.q_heads, first_head = is_k ? p.q_heads : 0;
    int groups = THREADS / p.lanes, group = (int)threadIdx.x / p.lanes;
    int lane = (int)threadIdx.x % p.lanes, items = p.rows * heads;
    const T *gamma = is_k ? p.k_gamma : p.q_gamma;
    float *sums = reinterpret_cast<float *>(shared), *mine = sums + group * p.HS;
    const float zeros[2][W] = {};
    for (int index = lane; p.parts != NULL && index < p.units; index += p.lanes)
        unit_store<W>(mine, unit_at<W>(p, index), zeros);
    for (int start = (int)blockIdx.x * groups; start < items; start += (int)gridDim.x * groups) {
        int item = start + group, row = item / heads, head = first_head + item % heads;
        int end = item < items ? p.units : 0;
        int64_t at = (int64_t)row * p.columns + (int64_t)head * p.HS;
        float g[2][W], n[2][W], sum = 0;
        float rstd = end > 0 ? p.rstds[(int64_t)row * (p.q_heads + p.k_heads) + head] : 0;
        for (int index = lane; index < end; index += p.lanes) {
            Unit unit = unit_at<W>(p, index);
            unit_gradient<W>(p, row, at, unit, rstd, g, n);
            if (W > 1 && p.parts != NULL) unit_add<W>(mine, unit, g, n);
            unit_scale<W>(gamma, unit, g);
#pragma unroll
            for (int k = 0; k < W; k++) sum += g[0][k] * n[0][k] + g[1][k] * n[1][k];
        }
        float mean = lanes_sum(sum, p.lanes) / (float)p.HS;
        for (int index = lane; index < end; index += p.lanes) {
            Unit unit = unit_at<W>(p, index);
            if (W == 1) {
                unit_gradient<W>(p, row, at, unit, rstd, g, n);
                if (p.parts != NULL) unit_add<W>(mine, unit, g, n);
                unit_scale<W>(gamma, unit, g);
            }
#pragma unroll
            for (int k = 0; k < W; k++) {
                g[0][k] = rstd * (g[0][k] - n[0][k] * mean);
                g[1][k] = rstd * (g[1][k] - n[1][k] * mean);
            }
            unit_store<W>(p.y + at, unit, g);
        }
    }
    if (p.parts != NULL) parts_store(p, sums);
}

/* Packs of W elements: the whole head if it is normalized, else its pairs. */
template <typename T, int W>
static void units_set(QkParams<T> *p, bool norm) {
    int rotating = p->pairs / W, rest = (p->HS - 2 * p->pairs + 2 * W - 1) / (2 * W);
    p->units = norm ? rotating + rest : rotating;
    p->lanes = p->units < 32 ? p->units : 32;
    while (norm && (p->lanes & (p->lanes - 1)) != 0) p->lanes++; /* for shuffles: a power of two */
}

/* f(Int<W>): with more packs than 32 lanes hold, W = 1. */
template <typename T, typename F>
static Status dispatch_units(const QkParams<T> &p, F f) {
    constexpr int W = 16 / sizeof(T);
    bool vector = fits_packs<T>(p.HS, p.y, p.x, p.q_gamma, p.k_gamma, p.table) &&
                  p.pairs % W == 0 && p.HS <= 64 * W;
    return dispatch_width<T>(vector, f);
}

template <typename T, bool NORM>
static Status forward_launch(QkParams<T> p, int heads, cudaStream_t stream) {
    return dispatch_units(p, [&](auto width) {
        constexpr int W = decltype(width)::value;
        units_set<T, W>(&p, NORM);
        unsigned blocks = blocks_for((int64_t)p.rows * heads, THREADS / p.lanes);
        forward_kernel<T, W, NORM><<<blocks, THREADS, 0, stream>>>(p, (unsigned)heads);
        return cuda_launched("qk");
    });
}

template <typename T>
static Status backward_launch(QkParams<T> p, unsigned *blocks, cudaStream_t stream) {
    return dispatch_units(p, [&](auto width) {
        constexpr int W = decltype(width)::value;
        units_set<T, W>(&p, true);
        int groups = THREADS / p.lanes, heads = p.q_heads > p.k_heads ? p.q_heads : p.k_heads;
        *blocks = blocks_for((int64_t)p.rows * heads, groups);
        if (*blocks > QK_BLOCKS && p.parts != NULL) *blocks = QK_BLOCKS;
        if (*blocks == 0) *blocks = 1; /* no rows: the sums must still be set */
        size_t shared = p.parts == NULL ? 0 : (size_t)(groups * p.HS) * sizeof(float);
        backward_kernel<T, W><<<dim3(*blocks, 2), THREADS, shared, stream>>>(p);
        return cuda_launched("qk_backward");
    });
}

/* The fields that both directions share. */
template <typename T>
static QkParams<T> params_of(const Node *node, const Tensor *packed, const Tensor *table) {
    const QkOptions *o = &((const QkAttrs *)node->attrs)->options;
    QkParams<T> p = {};
    p.rows = (int)tensor_rows(packed), p.columns = (int)tensor_columns(packed);
    p.HS = (int)o->HS, p.q_heads = (int)o->NH, p.k_heads = (int)o->NH_kv;
    p.eps = (float)o->eps;
    p.table = data_of<float>(table);
    if (table != NULL)
        p.pairs = (int)tensor_columns(table) / 2, p.table_rows = (int)tensor_rows(table);
    p.q_gamma = data_of<T>(node->inputs[2]), p.k_gamma = data_of<T>(node->inputs[3]);
    return p;
}

extern "C" Status qk_cuda(const Node *node, void *stream_) {
    const Tensor *qkv = node->inputs[0], *y = node->outputs[0];
    cudaStream_t stream = (cudaStream_t)stream_;
    bool norm = ((const QkAttrs *)node->attrs)->options.norm;
    if (tensor_count(qkv) == 0) return Status{STATUS_OK};
    return dispatch_real(qkv->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        QkParams<T> p = params_of<T>(node, qkv, node->inputs[1]);
        p.y = data_of<T>(y), p.x = data_of<T>(qkv), p.rstds = data_of<float>(node->outputs[1]);
        p.direction = 1;
        int heads = p.q_heads + p.k_heads + (p.y == p.x ? 0 : p.k_heads);
        return norm ? forward_launch<T, true>(p, heads, stream)
                    : forward_launch<T, false>(p, heads, stream);
    });
}

/* Without norm the gradient is rotated back like the heads. */
extern "C" Status qk_backward_cuda(const Node *node, void *stream_) {
    const QkAttrs *attrs = (const QkAttrs *)node->attrs;
    const Tensor *d = node->outputs[0], *dq = node->outputs[1], *dk = node->outputs[2];
    cudaStream_t stream = (cudaStream_t)stream_;
    float *parts = data_of<float>(node->workspace);
    unsigned blocks = 0;
    TRY(need_f32(dq, "the gradient of q's gamma"));
    TRY(need_f32(dk, "the gradient of k's gamma"));
    TRY(dispatch_real(d->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        QkParams<T> p = params_of<T>(node, d, node->inputs[0]);
        p.y = data_of<T>(d), p.direction = -1;
        if (!attrs->options.norm) {
            p.x = p.y;
            if (p.rows == 0) return Status{STATUS_OK};
            return forward_launch<T, false>(p, p.q_heads + p.k_heads, stream);
        }
        p.x = data_of<T>(node->inputs[1]), p.rstds = data_of<float>(node->inputs[4]);
        p.parts = parts;
        return backward_launch<T>(p, &blocks, stream);
    }));
    if (parts == NULL) return Status{STATUS_OK};
    int64_t HS = attrs->options.HS;
    return columns_sum(ColumnSum{data_of<float>(dq), parts, attrs->accumulate_q},
                       ColumnSum{data_of<float>(dk), parts + blocks * HS, attrs->accumulate_k},
                       blocks, HS, HS, stream);
}
