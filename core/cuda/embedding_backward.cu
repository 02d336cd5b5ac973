/* The gradient of the token table without atomics: the batch's tokens are sorted
 * (core/cuda/sort.cu, about 20 us for 65536), each block sums a fixed range of the sorted rows, and
 * the partial sums of a token that spans several ranges are added in order. So a token that fills
 * half of the batch costs no more than others, and every run computes the same bits. dwpe[t] is the
 * sum over the batch, one thread per pack of columns.
 *
 * Bound by memory: dx is read twice (101 MB each at (65536, 768) in bf16), a row of dwte is read
 * and written for each distinct token (some 12 K: 74 MB): 66 us at 4.2 TB/s, and 37 us more if dwte
 * must be cleared first. */
#include "core/cuda/cuda_common.cuh"
#include "core/cuda/sort.cuh"
#include "core/ops/embedding.h"

enum { THREADS = 128, RANGE = EMBEDDING_RANGE };

template <typename T>
struct TokenParams {
    float *dwte, *partial; /* partial (ranges, 2, C): of a range's first and last token */
    const T *dx;
    const int32_t *keys, *rows; /* sorted */
    int64_t count, C, V;
};

static __device__ __forceinline__ bool spans_left(const int32_t *keys, int64_t first) {
    return first > 0 && keys[first - 1] == keys[first];
}

static __device__ __forceinline__ bool spans_right(const int32_t *keys, int64_t end,
                                                   int64_t count) {
    return end < count && keys[end - 1] == keys[end];
}

template <int W>
static __device__ __forceinline__ void add_to(float *out, const float (&sum)[W]) {
    float old[W];
    load<W>(out, old);
#pragma unroll
    for (int k = 0; k < W; k++) old[k] += sum[k];
    store<W>(out, old);
}

/* Block index: (range, columns): the runs of equal tokens in the range. A run inside the range goes
 * to dwte, a run across its border to `partial`. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) range_kernel(TokenParams<T> p) {
    int64_t j = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * W, range = blockIdx.x;
    int64_t first = range * RANGE, end = first + RANGE < p.count ? first + RANGE : p.count;
    if (j >= p.C) return;
    bool left = spans_left(p.keys, first), right = spans_right(p.keys, end, p.count);
    for (int64_t i = first; i < end;) {
        int32_t token = p.keys[i];
        int64_t start = i;
        float sum[W] = {};
#pragma unroll 4
        for (; i < end && p.keys[i] == token; i++) {
            float x[W];
            load<W>(p.dx + p.rows[i] * p.C + j, x);
#pragma unroll
            for (int k = 0; k < W; k++) sum[k] += x[k];
        }
        if (start == first && left) {
            store<W>(p.partial + range * 2 * p.C + j, sum);
        } else if (i == end && right) {
            store<W>(p.partial + (range * 2 + 1) * p.C + j, sum);
        } else if (token >= 0 && token < p.V) {
            add_to<W>(p.dwte + token * p.C + j, sum);
        }
    }
}

/* Block index: (range, columns): adds the parts of a token that starts in this range and crosses
 * its border, in order. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) spans_kernel(TokenParams<T> p) {
    int64_t j = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * W, range = blockIdx.x;
    int64_t first = range * RANGE, end = first + RANGE < p.count ? first + RANGE : p.count;
    if (j >= p.C || !spans_right(p.keys, end, p.count)) return;
    int32_t token = p.keys[end - 1];
    if (p.keys[first] == token && spans_left(p.keys, first))
        return; /* it starts in an earlier range */
    if (token < 0 || token >= p.V) return;
    float sum[W], part[W];
    load<W>(p.partial + (range * 2 + 1) * p.C + j, sum);
#pragma unroll 4
    for (int64_t next = range + 1; next * RANGE < p.count && p.keys[next * RANGE] == token;
         next++) {
        load<W>(p.partial + next * 2 * p.C + j, part);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += part[k];
    }
    add_to<W>(p.dwte + token * p.C + j, sum);
}

template <typename T, int W>
static __global__ void __launch_bounds__(THREADS)
    positions_kernel(float *dwpe, const T *dx, int64_t B, int64_t row, bool accumulate) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * W;
    if (i >= row) return;
    float sum[W] = {};
#pragma unroll 4
    for (int64_t b = 0; b < B; b++) {
        float x[W];
        load<W>(dx + b * row + i, x);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += x[k];
    }
    if (accumulate) {
        add_to<W>(dwpe + i, sum);
    } else {
        store<W>(dwpe + i, sum);
    }
}

template <typename T, int W>
static Status tokens_launch(const TokenParams<T> &p, cudaStream_t stream) {
    dim3 grid(blocks_for(p.count, RANGE), blocks_for(p.C, THREADS * W));
    range_kernel<T, W><<<grid, THREADS, 0, stream>>>(p);
    TRY(cuda_launched("embedding_backward"));
    spans_kernel<T, W><<<grid, THREADS, 0, stream>>>(p);
    return cuda_launched("embedding_backward_spans");
}

static Status clear_tables(const Node *node, cudaStream_t stream) {
    const EmbeddingAttrs *attrs = (const EmbeddingAttrs *)node->attrs;
    const Tensor *dwte = node->outputs[0], *dwpe = node->outputs[1];
    if (!attrs->accumulate_wte)
        CUDA_TRY(cudaMemsetAsync(tensor_data(dwte), 0, tensor_bytes(dwte), stream));
    if (dwpe == NULL) return Status{STATUS_OK};
    /* positions beyond the length of the batch */
    size_t reached =
        (size_t)(node->inputs[0]->shape[1] * node->inputs[0]->shape[2]) * sizeof(float);
    if (!attrs->accumulate_wpe && tensor_bytes(dwpe) > reached) {
        char *rest = (char *)tensor_data(dwpe) + reached;
        CUDA_TRY(cudaMemsetAsync(rest, 0, tensor_bytes(dwpe) - reached, stream));
    }
    return Status{STATUS_OK};
}

extern "C" Status embedding_order_cuda(const Node *node, void *stream) {
    const Tensor *tokens = node->inputs[0];
    const int32_t *keys, *rows;
    return sort_tokens(data_of<int32_t>(tokens), tensor_count(tokens),
                       *(const int64_t *)node->attrs, tensor_data(node->outputs[0]), &keys, &rows,
                       (cudaStream_t)stream);
}

extern "C" Status embedding_backward_cuda(const Node *node, void *stream_) {
    const EmbeddingAttrs *attrs = (const EmbeddingAttrs *)node->attrs;
    const Tensor *dx = node->inputs[0], *order = node->inputs[2], *dwte = node->outputs[0],
                 *dwpe = node->outputs[1];
    cudaStream_t stream = (cudaStream_t)stream_;
    int64_t count = tensor_rows(dx), B = dx->shape[0], C = dx->shape[2], row = dx->shape[1] * C;
    TRY(need_f32(dwte, "the gradient of wte"));
    TRY(need_f32(dwpe, "the gradient of wpe"));
    TRY(clear_tables(node, stream));
    if (count == 0) return Status{STATUS_OK};
    const int32_t *keys, *rows;
    size_t partial_bytes = 2 * (size_t)((count + RANGE - 1) / RANGE * C) * sizeof(float);
    char *memory = (char *)tensor_data(node->workspace);
    if (order != NULL) {
        sorted_tokens(tensor_data(order), count, dwte->shape[0], &keys, &rows);
    } else {
        TRY(sort_tokens(data_of<int32_t>(node->inputs[1]), count, dwte->shape[0],
                        memory + partial_bytes, &keys, &rows, stream));
    }
    return dispatch_real(dx->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        TokenParams<T> p = {
            data_of<float>(dwte), (float *)memory, data_of<T>(dx), keys, rows, count, C,
            dwte->shape[0]};
        return dispatch_width<T>(
            fits_packs<T>(C, p.dwte, p.dx, data_of<float>(dwpe)), [&](auto width) {
                constexpr int W = decltype(width)::value;
                TRY((tokens_launch<T, W>(p, stream)));
                if (dwpe == NULL) return Status{STATUS_OK};
                positions_kernel<T, W><<<blocks_for(row, THREADS * W), THREADS, 0, stream>>>(
                    data_of<float>(dwpe), p.dx, B, row, attrs->accumulate_wpe);
                return cuda_launched("embedding_backward_positions");
            });
    });
}
