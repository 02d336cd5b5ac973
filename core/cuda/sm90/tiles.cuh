/* Building blocks of Hopper kernels: mbarriers, tensor-map copies, shared tiles and their
 * descriptors.
 *
 * A tile is R rows of HS elements, cut into chunks of 64 columns (128 bytes per row, 128-byte
 * swizzle) or, where 64 does not divide HS, of 32 (64 bytes, 64-byte swizzle): chunk c lies R * row
 * bytes after chunk c - 1. One tile serves a product in both ways: contracted over its columns
 * (K-major) or over its rows (MN-major, the "transposed" operand).
 *
 * Source: PTX ISA, "Asynchronous warpgroup level matrix shared memory layout", "Tensor copies",
 * "mbarrier". */
#pragma once

#include "core/cuda/sm90/wgmma.cuh"

#include <cuda.h>
#include <stdint.h>

template <int HS>
struct Tile {
    static constexpr int COLUMNS = HS % 64 == 0 ? 64 : 32, CHUNKS = HS / COLUMNS,
                         ROW_BYTES = COLUMNS * 2;
    static constexpr uint32_t SWIZZLE = COLUMNS == 64 ? 1 : 2; /* the descriptor's code */
    __host__ __device__ static constexpr int bytes(int rows) { return rows * HS * 2; }

    /* Byte offset of an element: the swizzle spreads the 16-byte units of a column over the
     * banks. */
    __device__ static __forceinline__ uint32_t offset(int rows, int row, int column) {
        const int chunk = column / COLUMNS, unit = column % COLUMNS / 8;
        const int swizzled = unit ^ (COLUMNS == 64 ? row & 7 : row >> 1 & 3);
        return (uint32_t)(chunk * rows * ROW_BYTES + row * ROW_BYTES + swizzled * 16 +
                          column % 8 * 2);
    }

    /* A descriptor's high word is the same for every tile (the distance of groups of 8 rows, and
     * the swizzle); its low word holds the address and the distance of chunks, which is ignored
     * where columns are contracted. */
    static constexpr uint32_t HIGH = (uint32_t)(8 * ROW_BYTES >> 4) | SWIZZLE << 30;
    __device__ static __forceinline__ uint32_t descriptor(uint32_t address, int rows) {
        return (address & 0x3FFFF) >> 4 | (uint32_t)(rows * ROW_BYTES >> 4) << 16;
    }

    /* Operand contracted over columns, 16 of them from column 16 * step. */
    __device__ static __forceinline__ uint32_t columns_at(uint32_t descriptor, int rows, int step) {
        return descriptor +
               (uint32_t)((step * 16 / COLUMNS * rows * ROW_BYTES + step * 16 % COLUMNS * 2) >> 4);
    }

    /* Operand contracted over rows, 16 of them from row 16 * step. */
    __device__ static __forceinline__ uint32_t rows_at(uint32_t descriptor, int step) {
        return descriptor + (uint32_t)(step * 16 * ROW_BYTES >> 4);
    }
};

__device__ __forceinline__ uint32_t shared_address(const void *pointer) {
    return (uint32_t)__cvta_generic_to_shared(pointer);
}

__device__ __forceinline__ void barrier_create(uint32_t barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals)
                 : "memory");
}

__device__ __forceinline__ void barriers_publish() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void barrier_expect(uint32_t barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                 : "memory");
}

__device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t parity) {
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@done bra finished;\n"
                 "bra again;\n"
                 "finished:\n"
                 "}" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

__device__ __forceinline__ void barrier_arrive(uint32_t barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/* Arrives; returns whether this arrival completed the phase. */
__device__ __forceinline__ bool barrier_completes(uint32_t barrier) {
    uint32_t pending;
    asm volatile("{\n"
                 ".reg .b64 state;\n"
                 "mbarrier.arrive.shared::cta.b64 state, [%1];\n"
                 "mbarrier.pending_count.b64 %0, state;\n"
                 "}"
                 : "=r"(pending)
                 : "r"(barrier)
                 : "memory");
    return pending == 1;
}

/* A ring of STAGES shared tiles, consumed by one block of WARPS warps. There is no producer warp,
 * which would cost a quarter of the registers of its scheduler: the last warp to release a stage
 * starts its refill. A kernel that has such a warp for other work waits there for the stage.
 * `control` holds two barriers per stage: one counts arriving bytes, one the warps that are done.
 *
 * Only tensor copies fill stages. racecheck treats a bulk copy without a map as a write of the
 * thread that starts it, and does not track the order between a warp's lanes and the lane that
 * arrives for them, so it reports ordinary loads of such a stage (docs/results/cuda_attention.md).
 * It ignores tensor copies.
 *
 * Why this cannot deadlock. Every warp releases each stage once for every tile that it waited for
 * there (the last STAGES tiles of a walk may stay unreleased: nothing follows them), so a phase of
 * `done` is WARPS arrivals for one tile, never for two: an arrival for the stage's next tile comes
 * after a wait on `full`, which only the refill completes, which only the phase's last arrival
 * starts. So a warp can block only in the wait for tile n in `full`. Every warp's release of tile n
 * - STAGES completes that wait, and a warp makes this release before it waits for tile n as long as
 * it holds fewer than STAGES tiles. A waiting warp therefore waits only for warps that are behind
 * it; the last warp waits only for copies. */
template <int STAGES, int WARPS>
struct Ring {
    static constexpr int CONTROL_BYTES = 16 * STAGES;
    uint32_t control;

    __device__ __forceinline__ uint32_t full(int stage) const { return control + 16 * stage; }
    __device__ __forceinline__ void wait(int stage, uint32_t parity) const {
        barrier_wait(full(stage), parity);
    }
    __device__ __forceinline__ void create() const {
        for (int stage = 0; stage < STAGES; stage++) {
            barrier_create(full(stage), 1);
            barrier_create(full(stage) + 8, WARPS);
        }
    }

    /* Called by every warp after it has waited for all products that read the stage, so that no
     * read is pending: true in the one thread that must refill it. A wait on the barrier that just
     * completed would only cost time (8% of the forward pass). */
    __device__ __forceinline__ bool release(int stage) const {
        return threadIdx.x % 32 == 0 && barrier_completes(full(stage) + 8);
    }

    /* In a producer warp: waits until the stage that the cursor is at may be filled; the first
     * round does not wait, because the phase before the first counts as complete. */
    __device__ __forceinline__ void wait_released(int stage, uint32_t parity) const {
        barrier_wait(full(stage) + 8, parity ^ 1);
    }
};

/* A position in the sequence of a ring's tiles. */
template <int STAGES>
struct Cursor {
    int at = 0, stage = 0;
    uint32_t parity = 0;
    __device__ __forceinline__ void advance() {
        at++, stage++;
        if (stage == STAGES) stage = 0, parity ^= 1;
    }
};

/* The number of the thread's warpgroup. The shuffle lets the compiler see that it is the same in
 * all lanes, so descriptors are computed in uniform registers, which products take. */
__device__ __forceinline__ int group_of_thread() {
    return __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x / 128, 0);
}
/* Among the 128 threads of one warpgroup; barrier 0 is __syncthreads. */
__device__ __forceinline__ void group_sync(int group) {
    asm volatile("bar.sync %0, 128;" ::"r"(group + 1) : "memory");
}
/* Makes ordinary writes to shared memory visible to the copy engine and the tensor cores. */
__device__ __forceinline__ void publish_shared() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ __forceinline__ void copy_box(uint32_t shared, const CUtensorMap &map, uint32_t barrier,
                                         int column, int token, int head, int batch) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], "
        "[%1, {%3, %4, %5, %6}], [%2];" ::"r"(shared),
        "l"(&map), "r"(barrier), "r"(column), "r"(token), "r"(head), "r"(batch)
        : "memory");
}

__device__ __forceinline__ void copy_row(uint32_t shared, const CUtensorMap &map, uint32_t barrier,
                                         int column, int row) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], "
        "[%1, {%3, %4}], [%2];" ::"r"(shared),
        "l"(&map), "r"(barrier), "r"(column), "r"(row)
        : "memory");
}

__device__ __forceinline__ void store_box(const CUtensorMap &map, uint32_t shared, int column,
                                          int token, int head, int batch) {
    asm volatile(
        "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(
            &map),
        "r"(shared), "r"(column), "r"(token), "r"(head), "r"(batch)
        : "memory");
}

/* Commits the thread's stores so far as one group. */
__device__ __forceinline__ void stores_commit() {
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
/* Waits until all groups of the thread but the last PENDING have been read from shared memory. */
template <int PENDING = 0>
__device__ __forceinline__ void stores_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(PENDING) : "memory");
}
/* Waits until all groups of the thread have arrived in global memory. */
__device__ __forceinline__ void stores_arrived() {
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

/* Writes a box of a two-dimensional map, or adds to it. */
__device__ __forceinline__ void store_rows(const CUtensorMap &map, uint32_t shared, int column,
                                           int row) {
    asm volatile(
        "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&map),
        "r"(shared), "r"(column), "r"(row)
        : "memory");
}

__device__ __forceinline__ void add_rows(const CUtensorMap &map, uint32_t shared, int column,
                                         int row) {
    asm volatile("cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.bulk_group [%0, {%2, %3}], "
                 "[%1];" ::"l"(&map),
                 "r"(shared), "r"(column), "r"(row)
                 : "memory");
}

/* Stores the 16 x 16 elements that a warp holds as an operand A; lane l gives the address of 8 of
 * them: row l % 16, columns from l / 16 * 8. */
__device__ __forceinline__ void store_operand(uint32_t address, const uint32_t (&a)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
                 "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3])
                 : "memory");
}

__device__ __forceinline__ void store_four(uint32_t address, const float *x) {
    asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(address), "f"(x[0]), "f"(x[1]),
                 "f"(x[2]), "f"(x[3])
                 : "memory");
}

/* Moves registers from one warpgroup of a block to the others; each warp of a group must call it.
 * Source: PTX ISA, "setmaxnreg". */
template <int COUNT>
__device__ __forceinline__ void registers_shrink() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
}
template <int COUNT>
__device__ __forceinline__ void registers_grow() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
}

template <int COUNT>
__device__ __forceinline__ void clear(float (&d)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) d[i] = 0.0f;
}
