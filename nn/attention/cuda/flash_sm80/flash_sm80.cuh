/* Building blocks of the mma.sync flash kernels (sm_80 and later): asynchronous tile loads,
 * ldmatrix, the 16x8x16 product.
 *
 * A tile is rows of HS elements in shared memory with 16 bytes of padding per row: HS / 8 + 1
 * chunks of 16 bytes is odd for every supported HS, so the eight rows that ldmatrix reads at once
 * are in different banks without a swizzle.
 *
 * Fragments (lane = 4 g + t): an accumulator block of 16 rows x 8 columns holds (g, 2t), (g, 2t+1),
 * (g+8, 2t), (g+8, 2t+1). Source: PTX ISA, "Matrix fragments for mma.m16n8k16". */
#pragma once

#include "nn/attention/cuda/common/flash_again.cuh"
#include "nn/attention/cuda/common/flash_common.cuh"
#include "nn/attention/cuda/common/flash_dropout.cuh"

__host__ __device__ constexpr int flash_pitch(int hs) { return hs + 8; }

__device__ __forceinline__ uint32_t shared_address(const void *pointer) {
    return (uint32_t)__cvta_generic_to_shared(pointer);
}

/* Copies 16 bytes, or writes zeros if the row does not exist. */
__device__ __forceinline__ void copy_async(void *shared, const void *global, bool exists) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(exists ? 16 : 0)
                 : "memory");
}

__device__ __forceinline__ void copy_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int PENDING>
__device__ __forceinline__ void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

/* Starts the copy of ROWS rows of hs elements from row `first` of a head that has `total` rows; the
 * columns from hs on are zeros. */
template <typename T, int HS, int ROWS, int THREADS>
__device__ __forceinline__ void load_tile(T *tile, const T *head, int64_t token, int first,
                                          int total, int hs) {
    constexpr int CHUNKS = HS / 8;
    for (int at = threadIdx.x; at < ROWS * CHUNKS; at += THREADS) {
        const int row = at / CHUNKS, column = at % CHUNKS * 8;
        const bool exists = first + row < total && column < hs;
        copy_async(tile + row * flash_pitch(HS) + column,
                   head + (exists ? (first + row) * token + column : 0), exists);
    }
}

__device__ __forceinline__ void load_matrix(uint32_t (&r)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
}

__device__ __forceinline__ void load_matrix_transposed(uint32_t (&r)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
}

template <typename T>
__device__ __forceinline__ void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1);
template <>
__device__ __forceinline__ void multiply<__nv_bfloat16>(float (&d)[4], const uint32_t (&a)[4],
                                                        uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
__device__ __forceinline__ void multiply<__half>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                                 uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* acc (16 x N) = A Bt, where A is 16 rows and B is N rows of HS elements in shared memory. */
template <typename T, int HS, int N>
__device__ __forceinline__ void product_rows(float (&acc)[N / 8][4], const T *a, const T *b) {
    const int lane = threadIdx.x % 32;
    const uint32_t at_a = shared_address(a + (lane % 16) * flash_pitch(HS) + lane / 16 * 8);
    const uint32_t at_b =
        shared_address(b + (lane % 8 + lane / 16 * 8) * flash_pitch(HS) + lane / 8 % 2 * 8);
#pragma unroll
    for (int n = 0; n < N / 8; n++) acc[n][0] = acc[n][1] = acc[n][2] = acc[n][3] = 0.0f;
#pragma unroll
    for (int k = 0; k < HS / 16; k++) {
        uint32_t fa[4], fb[4];
        load_matrix(fa, at_a + k * 32);
#pragma unroll
        for (int n = 0; n < N / 16; n++) {
            load_matrix(fb, at_b + n * 16 * flash_pitch(HS) * 2 + k * 32);
            multiply<T>(acc[2 * n], fa, fb[0], fb[1]);
            multiply<T>(acc[2 * n + 1], fa, fb[2], fb[3]);
        }
    }
}

/* acc (16 x COLUMNS) += P B, where P (16 x N) is in accumulator blocks and B is N rows of HS
 * elements in shared memory, of which COLUMNS are used. */
template <typename T, int HS, int COLUMNS, int N>
__device__ __forceinline__ void product_weights(float (&acc)[COLUMNS / 8][4],
                                                const float (&p)[N / 8][4], const T *b) {
    const int lane = threadIdx.x % 32;
    const uint32_t at_b = shared_address(b + (lane % 16) * flash_pitch(HS) + lane / 16 * 8);
#pragma unroll
    for (int k = 0; k < N / 16; k++) {
        uint32_t fa[4], fb[4];
        flash_pack_a<T>(fa, p[2 * k], p[2 * k + 1]);
#pragma unroll
        for (int n = 0; n < COLUMNS / 16; n++) {
            load_matrix_transposed(fb, at_b + k * 16 * flash_pitch(HS) * 2 + n * 32);
            multiply<T>(acc[2 * n], fa, fb[0], fb[1]);
            multiply<T>(acc[2 * n + 1], fa, fb[2], fb[3]);
        }
    }
}

/* Writes 16 rows x COLUMNS of accumulators, times `factor`, to a head; skips rows from `total` on
 * and columns from `width` on.
 * make(row) recomputes a row, called by the whole warp: flash_again.cuh. */
template <typename T, int COLUMNS, typename Make>
__device__ __forceinline__ void store_rows(T *head, int64_t token, int first, int total, int width,
                                           const float (&acc)[COLUMNS / 8][4], float factor_low,
                                           float factor_high, Make make) {
    const int lane = threadIdx.x % 32, low = first + lane / 4, high = low + 8;
    T *at = head + lane % 4 * 2;
    uint32_t looks[2] = {0, 0};
#pragma unroll
    for (int n = 0; n < COLUMNS / 8; n++) {
        const uint32_t words[2] = {flash_pack<T>(acc[n][0] * factor_low, acc[n][1] * factor_low),
                                   flash_pack<T>(acc[n][2] * factor_high, acc[n][3] * factor_high)};
        flash_look<T>(looks[0], words[0]), flash_look<T>(looks[1], words[1]);
        if (n * 8 >= width) continue;
        if (low < total) *(uint32_t *)(at + low * token + n * 8) = words[0];
        if (high < total) *(uint32_t *)(at + high * token + n * 8) = words[1];
    }
    const bool lost[2] = {low < total && flash_has_nan<T>(looks[0]),
                          high < total && flash_has_nan<T>(looks[1])};
    if (!__any_sync(0xFFFFFFFFu, lost[0] || lost[1])) return;
    __syncwarp();
#pragma unroll 1
    for (int r = 0; r < 2; r++) flash_again(r == 0 ? lost[0] : lost[1], low + 8 * r, make);
}
