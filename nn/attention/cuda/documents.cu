/* One block per row, which scans the row in steps of 256 tokens, forward for the firsts and
 * backward for the ends. A ballot finds the ends of documents in a warp, eight words in shared
 * memory hold those of the other warps, and registers carry the state from step to step. No
 * atomics: the same bits in every run. Bound by the latency of 2 T / 256 steps with two barriers
 * each, about ten microseconds for T = 1024, once per forward pass; rows run in parallel. */
#include "core/cuda/cuda_common.cuh"
#include "nn/attention/documents.h"

enum { THREADS = 256, WARPS = THREADS / 32 };

/* The start of each token's document: after the last end-of-text before the token. */
static __device__ void firsts_find(const int32_t *tokens, int64_t T, int32_t end_of_text,
                                   int32_t *firsts, int32_t *behind) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, carried = 0;
    for (int64_t base = 0; base < T; base += THREADS) {
        int64_t t = base + threadIdx.x;
        int start = (int)base + warp * 32, first = carried;
        unsigned ends = __ballot_sync(0xFFFFFFFFu, t < T && tokens[t] == end_of_text),
                 before = ends & ((1u << lane) - 1);
        if (lane == 0) behind[warp] = ends == 0 ? -1 : start + 32 - __clz((int)ends);
        __syncthreads();
        for (int w = 0; w < WARPS; w++) {
            if (behind[w] < 0) continue;
            carried = behind[w];
            if (w < warp) first = carried;
        }
        if (before != 0) first = start + 32 - __clz((int)before);
        if (t < T) firsts[t] = first;
        __syncthreads();
    }
}

/* The end of each token's document: the position after the first end-of-text at or after the
 * token. */
static __device__ void ends_find(const int32_t *tokens, int64_t T, int32_t end_of_text,
                                 int32_t *ends, int32_t *nearest) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, carried = (int)T;
    for (int64_t base = (T - 1) / THREADS * THREADS; base >= 0; base -= THREADS) {
        int64_t t = base + threadIdx.x;
        int start = (int)base + warp * 32, end = carried;
        unsigned found = __ballot_sync(0xFFFFFFFFu, t < T && tokens[t] == end_of_text),
                 from = found >> lane;
        if (lane == 0) nearest[warp] = found == 0 ? -1 : start + __ffs((int)found);
        __syncthreads();
        for (int w = WARPS - 1; w >= 0; w--) {
            if (nearest[w] < 0) continue;
            carried = nearest[w];
            if (w > warp) end = carried;
        }
        if (from != 0) end = (int)t + __ffs((int)from);
        if (t < T) ends[t] = end;
        __syncthreads();
    }
}

static __global__ void __launch_bounds__(THREADS)
    documents_kernel(int32_t *ranges, const int32_t *tokens, int64_t B, int64_t T,
                     int32_t end_of_text) {
    __shared__ int32_t shared[WARPS];
    int64_t b = blockIdx.x;
    firsts_find(tokens + b * T, T, end_of_text, ranges + b * T, shared);
    ends_find(tokens + b * T, T, end_of_text, ranges + (B + b) * T, shared);
}

extern "C" Status documents_cuda(const Node *node, void *stream) {
    const Tensor *tokens = node->inputs[0];
    int64_t B = tokens->shape[0], T = tokens->shape[1];
    if (B == 0 || T == 0) return Status{STATUS_OK};
    documents_kernel<<<(unsigned)B, THREADS, 0, (cudaStream_t)stream>>>(
        data_of<int32_t>(node->outputs[0]), data_of<int32_t>(tokens), B, T,
        ((const DocumentsAttrs *)node->attrs)->end_of_text);
    return cuda_launched("documents");
}
