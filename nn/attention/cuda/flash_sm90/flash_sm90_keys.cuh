/* The keys that the rows of the forward pass see: of a row, of a warpgroup, of a block. */
#pragma once

#include "nn/attention/cuda/common/flash_common.cuh"

/* Keys that every row of a warpgroup sees, and keys that some row sees: empty if the group has no
 * rows. */
struct GroupKeys {
    int first_all, last_all, first_some, last_some;
};

/* Writes to `keys` in shared memory the keys of row `at` of the warpgroup that starts at group_row:
 * those of the last row if the row does not exist, none if the group has no rows. */
template <FlashKind KIND>
__device__ __forceinline__ void store_keys(const FlashParams &p, uint32_t place, int b,
                                           int group_row, int at) {
    int2 keys;
    flash_keys_of<KIND>(p, b, min(group_row + at, p.Tq - 1), keys.x, keys.y);
    if (group_row >= p.Tq) keys.y = -1;
    asm volatile("st.shared.v2.s32 [%0], {%1, %2};" ::"r"(place + at * 8), "r"(keys.x), "r"(keys.y)
                 : "memory");
}

/* The first and the last key of the rows of one warpgroup. The plain kind computes them when
 * needed; the others keep them in shared memory, 8 bytes per row, because no registers are free. */
template <FlashKind KIND>
struct RowKeys {
    const FlashParams &p;
    uint32_t shared; /* of the group's first row */
    int batch, group_row;
    GroupKeys computed;

    __device__ __forceinline__ RowKeys(const FlashParams &params, uint32_t address, int b, int row)
        : p(params), shared(address), batch(b), group_row(row) {
        if constexpr (KIND == FLASH_PLAIN) {
            int unused;
            flash_keys_of<KIND>(p, b, row, computed.first_some, computed.last_all);
            flash_keys_of<KIND>(p, b, row + 63, computed.first_all, unused);
            flash_keys_of<KIND>(p, b, min(row + 63, p.Tq - 1), unused, computed.last_some);
            if (row >= p.Tq) computed.last_some = -1;
        }
    }

    /* Called by every thread of the group, unless others write the rows' keys. */
    __device__ __forceinline__ void store() const {
        if (KIND != FLASH_PLAIN && threadIdx.x % 128 < 64)
            store_keys<KIND>(p, shared, batch, group_row, threadIdx.x % 128);
    }

    /* This and the following: only after a barrier of the block after store(). */
    __device__ __forceinline__ int2 stored(int row) const {
        int2 keys;
        asm volatile("ld.shared.v2.s32 {%0, %1}, [%2];"
                     : "=r"(keys.x), "=r"(keys.y)
                     : "r"(shared + row * 8));
        return keys;
    }

    /* The keys that every row of this warp sees; of the whole group in the plain kind. */
    __device__ __forceinline__ int2 common() const {
        if constexpr (KIND == FLASH_PLAIN) return {computed.first_all, computed.last_all};
        const int row = threadIdx.x % 128 / 32 * 16;
        return {stored(row + 15).x, stored(row).y};
    }

    /* The keys that some row of the group sees. */
    __device__ __forceinline__ int2 any() const {
        if constexpr (KIND == FLASH_PLAIN) return {computed.first_some, computed.last_some};
        return {stored(0).x, stored(63).y};
    }

    /* The keys of a row, relative to the group's first row. */
    __device__ __forceinline__ int2 of(int row) const {
        if constexpr (KIND != FLASH_PLAIN) return stored(row);
        int2 keys;
        flash_keys_of<KIND>(p, batch, group_row + row, keys.x, keys.y);
        return keys;
    }
};

/* The key tiles [begin, end) that rows [row, row + count) need. */
template <FlashKind KIND>
struct KeyTiles {
    int begin, end;
    __device__ __forceinline__ KeyTiles(const FlashParams &p, int b, int row, int count, int keys) {
        int first, last, unused;
        flash_keys_of<KIND>(p, b, row, first, unused);
        flash_keys_of<KIND>(p, b, min(row + count, p.Tq) - 1, unused, last);
        begin = first / keys;
        end = last < first || row >= p.Tq ? begin : last / keys + 1;
    }
};
