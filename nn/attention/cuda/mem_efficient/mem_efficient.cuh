/* Code shared by all memory-efficient kernels: parameters, the mask as intervals, copies of tiles
 * to and from shared memory.
 *
 * The kernels (mem_efficient_forward.cuh, mem_efficient_backward.cuh) are templates over an engine,
 * which defines how a block's threads hold and multiply tiles: mem_efficient_mma.cuh for tensor
 * cores, mem_efficient_simt.cuh for f32. A tile is rows of HS elements (HS rounded up to a compiled
 * size and padded with zeros) with 16 bytes of padding per row, an odd number of 16-byte chunks, so
 * that eight rows read at once lie in different banks. */
#pragma once

#include "nn/attention/cuda/common/flash_again.cuh"
#include "nn/attention/cuda/flash_sm80/flash_sm80.cuh"
#include "nn/attention/cuda/mem_efficient/mem_efficient_cuda.h"

#include <type_traits>

#if defined(__CUDA_ARCH__)
constexpr bool HAS_ASYNC_COPY = __CUDA_ARCH__ >= 800, HAS_DEEP_PRODUCT = __CUDA_ARCH__ >= 800;
#else
constexpr bool HAS_ASYNC_COPY = true, HAS_DEEP_PRODUCT = true;
#endif

struct EfficientParams : FlashParams {
    const int32_t *keys, *queries; /* the args' key_ranges and query_ranges; NULL without */
    int HS;
    int width; /* bytes of the widest access for which every row of every tensor is aligned, 16 at
                  most */
};

/* The keys [first, last] that query i of row b sees; empty if last < first. Bounds never fall as i
 * rises. */
__device__ __forceinline__ void efficient_keys_of(const EfficientParams &p, int b, int i,
                                                  int &first, int &last) {
    last = p.causal ? min(i + p.diagonal, p.Tk - 1) : p.Tk - 1;
    first = p.window ? max(i + p.diagonal - p.window + 1, 0) : 0;
    if (p.keys == nullptr) return;
    const int64_t at = (int64_t)b * p.Tq + min(i, p.Tq - 1);
    first = max(first, p.keys[at]);
    last = min(last, p.keys[(int64_t)p.B * p.Tq + at] - 1);
}

/* The queries [first, last] that see key j. */
__device__ __forceinline__ void efficient_queries_of(const EfficientParams &p, int b, int j,
                                                     int &first, int &last) {
    first = p.causal ? max(j - p.diagonal, 0) : 0;
    last = p.window ? min(j - p.diagonal + p.window - 1, p.Tq - 1) : p.Tq - 1;
    if (p.queries == nullptr) return;
    const int64_t at = (int64_t)b * p.Tk + min(j, p.Tk - 1);
    first = max(first, p.queries[at]);
    last = min(last, p.queries[(int64_t)p.B * p.Tk + at] - 1);
}

/* The tiles of N that a block of rows iterates over, and the elements that all of its rows see,
 * which need no mask. */
struct Walk {
    int begin, end, first_full, last_full;

    template <typename Interval>
    __device__ __forceinline__ Walk(int row, int last_row, int N, Interval interval) {
        int first, last;
        interval(row, first, last_full);
        interval(last_row, first_full, last);
        begin = first / N, end = last < first ? begin : last / N + 1;
    }

    __device__ __forceinline__ bool is_full(int at, int N) const {
        return at >= first_full && at + N - 1 <= last_full;
    }
};

/* Copies W bytes, or writes zeros if they do not exist. */
template <int W>
__device__ __forceinline__ void copy_or_zero(char *shared, const char *global, bool exists) {
    if constexpr (HAS_ASYNC_COPY && W >= 4) {
        if constexpr (W == 16)
            copy_async(shared, global, exists);
        else
            asm volatile(
                "cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)),
                "l"(global), "n"(W), "r"(exists ? W : 0)
                : "memory");
    } else {
        using Word =
            std::conditional_t<W == 16, uint4, std::conditional_t<W == 4, uint32_t, uint16_t>>;
        *(Word *)shared = exists ? *(const Word *)global : Word{};
    }
}

__device__ __forceinline__ void tiles_commit() {
    if constexpr (HAS_ASYNC_COPY) copy_commit();
}

template <int PENDING>
__device__ __forceinline__ void tiles_wait() {
    if constexpr (HAS_ASYNC_COPY) copy_wait<PENDING>();
}

template <typename T, int HS, int ROWS, int THREADS, int W>
__device__ __forceinline__ void tile_copy(char *tile, const T *head, int64_t token, int first,
                                          int total, int hs) {
    constexpr int CHUNKS = HS * (int)sizeof(T) / W, PITCH = HS * (int)sizeof(T) + 16,
                  E = W / (int)sizeof(T);
#pragma unroll(W == 16 ? 4 : 1)
    for (int at = threadIdx.x; at < ROWS * CHUNKS; at += THREADS) {
        const int row = at / CHUNKS, chunk = at % CHUNKS;
        const bool exists = first + row < total && chunk * E < hs;
        copy_or_zero<W>(tile + row * PITCH + chunk * W,
                        (const char *)(head + (exists ? (first + row) * token + chunk * E : 0)),
                        exists);
    }
}

/* Starts the copy of ROWS rows from row `first` of a head that has `total` rows. S is the element
 * type of the tile, to which a 16-bit T may be widened. */
template <typename S, typename T, int HS, int ROWS, int THREADS>
__device__ __forceinline__ void tile_load(const EfficientParams &p, char *tile, const T *head,
                                          int64_t token, int first, int total) {
    if constexpr (sizeof(S) != sizeof(T)) {
        for (int at = threadIdx.x; at < ROWS * HS; at += THREADS) {
            const int row = at / HS, column = at % HS;
            const bool exists = first + row < total && column < p.HS;
            ((float *)tile)[row * (HS + 4) + column] =
                exists ? to_float(head[(first + row) * token + column]) : 0.0f;
        }
    } else if (p.width == 16) {
        tile_copy<T, HS, ROWS, THREADS, 16>(tile, head, token, first, total, p.HS);
    } else if (p.width >= 4) {
        tile_copy<T, HS, ROWS, THREADS, 4>(tile, head, token, first, total, p.HS);
    } else {
        tile_copy<T, HS, ROWS, THREADS, (int)sizeof(T)>(tile, head, token, first, total, p.HS);
    }
}

__device__ __forceinline__ void pair_store(float *to, float x, float y) {
    *(float2 *)to = make_float2(x, y);
}
__device__ __forceinline__ void pair_store(__half *to, float x, float y) {
    *(__half2 *)to = __floats2half2_rn(x, y);
}
__device__ __forceinline__ void pair_store(__nv_bfloat16 *to, float x, float y) {
    *(__nv_bfloat162 *)to = __floats2bfloat162_rn(x, y);
}
__device__ __forceinline__ void one_store(float *to, float x) { *to = x; }
__device__ __forceinline__ void one_store(__half *to, float x) { *to = __float2half_rn(x); }
__device__ __forceinline__ void one_store(__nv_bfloat16 *to, float x) {
    *to = __float2bfloat16_rn(x);
}

/* Writes a thread's elements of a block's rows, times a factor per row, to a head; skips rows from
 * `total` on. make(row) recomputes a row, called by a whole warp: flash_again.cuh. */
template <typename Engine, typename T, typename Make>
__device__ __forceinline__ void sums_store(const EfficientParams &p, T *head, int64_t token,
                                           int block_row, int total, typename Engine::Sums &sums,
                                           const float (&factor)[Engine::R], Make make) {
    uint32_t lost = 0; /* a bit per row */
#pragma unroll
    for (int r = 0; r < Engine::R; r++) {
        const int row = block_row + Engine::row(r);
        if (row >= total) continue;
        T *at = head + row * token;
#pragma unroll
        for (int d = 0; d < Engine::D; d += 2) {
            const int column = Engine::sums_column(d);
            const float x = sums.at(r, d) * factor[r], y = sums.at(r, d + 1) * factor[r];
            lost |= (uint32_t)(x != x || y != y) << r;
            if (p.width >= 2 * (int)sizeof(T)) {
                if (column < p.HS) pair_store(at + column, x, y);
            } else {
                if (column < p.HS) one_store(at + column, x);
                if (column + 1 < p.HS) one_store(at + column + 1, y);
            }
        }
    }
    if (!__any_sync(0xFFFFFFFFu, lost != 0)) return;
    __syncwarp();
#pragma unroll 1
    for (int r = 0; r < Engine::R; r++)
        flash_again(lost >> r & 1, block_row + Engine::row(r), make);
}

/* Whether one of N queries has a large lse; each lane checks its share. */
template <int N>
__device__ __forceinline__ bool has_large(const float *lse2) {
    bool found = false;
    for (int at = threadIdx.x % 32; at < N; at += 32) found |= lse2[at] == -FLASH_INF;
    return __any_sync(0xFFFFFFFFu, found);
}

/* Launchers, one type and one file each. False if the device's blocks have too little shared
 * memory. */
enum EfficientPass { EFFICIENT_FORWARD, EFFICIENT_BACKWARD };
bool mem_efficient_f16(EfficientPass pass, const EfficientParams &p, int shared_limit,
                       cudaStream_t stream);
bool mem_efficient_bf16(EfficientPass pass, const EfficientParams &p, int shared_limit,
                        cudaStream_t stream);
bool mem_efficient_tf32(EfficientPass pass, const EfficientParams &p, int shared_limit,
                        cudaStream_t stream);

/* Computes in f32 for every type in memory; 48 KB suffice. */
void mem_efficient_simt(EfficientPass pass, DType dtype, const EfficientParams &p, int shared_limit,
                        cudaStream_t stream);
