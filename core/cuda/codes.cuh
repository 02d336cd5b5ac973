/* Shared by the kernels that write eight-bit operands: the codes of values and what they observe,
 * and the transposition of a tile of codes through shared memory.
 *
 * A tile has ROWS rows of `stride` words of four codes; the stride is a multiple of 32. Word w of
 * row r lies at w ^ 32 / GROUPS (r / 16): a warp stores words of one row, and reads one word of
 * each of GROUPS groups of 16 rows times 32 / GROUPS columns, neither with bank conflicts. */
#pragma once

#include "core/cuda/float8.cuh"
#include "core/float8.h"
#include "core/ops/quantize.h"

#include <math.h>

constexpr uint32_t NOT_FINITE = 0x7F800000;

static __device__ __forceinline__ uint32_t size_bits(float x) {
    return __float_as_uint(x) & 0x7FFFFFFF;
}

/* What a thread finds in its values: core/ops/quantize.h. */
struct Found {
    uint32_t largest, saturated;
};

/* Infinities become NaN, as in core/float8.h. Returns the number of finite values that saturate. */
template <int N>
static __device__ __forceinline__ uint32_t tame(float (&v)[N], float inverse, float most) {
    uint32_t saturated = 0;
#pragma unroll
    for (int k = 0; k < N; k++) {
        bool is_finite = size_bits(v[k]) < NOT_FINITE;
        saturated += is_finite && fabsf(v[k] * inverse) > most;
        v[k] = is_finite ? v[k] : NAN;
    }
    return saturated;
}

/* The codes of N values, in the order of their addresses. */
template <bool E5M2, int N>
static __device__ __forceinline__ void codes_of(float (&v)[N], float inverse, Found &found,
                                                uint32_t (&codes)[N / 4]) {
    const float most = float8_largest(E5M2 ? DTYPE_F8E5M2 : DTYPE_F8E4M3);
    uint32_t size = 0;
#pragma unroll
    for (int k = 0; k < N; k++) size = max(size, size_bits(v[k]));
    found.largest = max(found.largest, size);
    if (size >= NOT_FINITE || __uint_as_float(size) * inverse > most)
        found.saturated += tame(v, inverse, most);
#pragma unroll
    for (int i = 0; i < N / 4; i++) codes[i] = four_codes<E5M2>(v + 4 * i, inverse);
}

/* The first read avoids most atomics, because few blocks exceed the maximum so far. */
static __device__ __forceinline__ void raise_largest(uint32_t *at, uint32_t largest) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2)
        largest = max(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, offset));
    if (threadIdx.x % 32 == 0 && largest > *(volatile uint32_t *)at) atomicMax(at, largest);
}

/* By all threads of a warp. Maxima and counts are integers, so atomics do not depend on the order.
 */
static __device__ __forceinline__ void found_store(uint32_t *observed, Found found) {
    if (observed == NULL) return;
    raise_largest(observed + OBSERVED_LARGEST, found.largest);
    if (found.saturated != 0) atomicAdd(observed + OBSERVED_SATURATED, found.saturated);
}

/* ---- the tile -------------------------------------------------------------------------------- */

/* Rows of a group: those that a thread stores as 16 bytes of a column. */
enum { GROUP = 16 };

/* Where word `word` of row `row` lies in the row. */
template <int ROWS>
static __device__ __forceinline__ int tile_word(int row, int word) {
    return word ^ row / GROUP * (32 * GROUP / ROWS);
}

/* Bytes 4 i + j of a column, from word j of `rows`. */
static __device__ __forceinline__ void transpose_4x4(const uint32_t (&rows)[4],
                                                     uint32_t (&columns)[4]) {
    uint32_t ab_low = __byte_perm(rows[0], rows[1], 0x5140),
             ab_high = __byte_perm(rows[0], rows[1], 0x7362),
             cd_low = __byte_perm(rows[2], rows[3], 0x5140),
             cd_high = __byte_perm(rows[2], rows[3], 0x7362);
    columns[0] = __byte_perm(ab_low, cd_low, 0x5410);
    columns[1] = __byte_perm(ab_low, cd_low, 0x7632);
    columns[2] = __byte_perm(ab_high, cd_high, 0x5410);
    columns[3] = __byte_perm(ab_high, cd_high, 0x7632);
}

/* Stores one group of rows of the 4 columns from `column` on, which are word `word` of the tile. */
template <int ROWS>
static __device__ __forceinline__ void store_turned(uint8_t *transposed, int64_t rows, int64_t row,
                                                    int64_t column, const uint32_t *tile,
                                                    int stride, int group, int word) {
    uint32_t turned[4][GROUP / 4];
    const uint32_t *from = tile + group * GROUP * stride + tile_word<ROWS>(group * GROUP, word);
#pragma unroll
    for (int i = 0; i < GROUP / 4; i++) {
        uint32_t words[4], bytes[4];
#pragma unroll
        for (int j = 0; j < 4; j++) words[j] = from[(4 * i + j) * stride];
        transpose_4x4(words, bytes);
#pragma unroll
        for (int j = 0; j < 4; j++) turned[j][i] = bytes[j];
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        *reinterpret_cast<uint4 *>(transposed + (column + j) * rows + row) =
            make_uint4(turned[j][0], turned[j][1], turned[j][2], turned[j][3]);
    }
}

/* Stores a tile with columns [column, column + width) of rows [first, min(first + ROWS, rows)) to
 * `transposed` (columns, rows): ROWS / 16 threads write ROWS bytes in a row. Call it behind a
 * barrier, by all THREADS threads of the block. */
template <int ROWS, int THREADS>
static __device__ __forceinline__ void store_transposed(uint8_t *transposed, int64_t rows,
                                                        int64_t first, int64_t column, int width,
                                                        const uint32_t *tile, int stride) {
    constexpr int GROUPS = ROWS / GROUP;
    int group = threadIdx.x % GROUPS;
    int64_t row = first + group * GROUP;
    if (row >= rows) return;
    for (int word = threadIdx.x / GROUPS; word * 4 < width; word += THREADS / GROUPS)
        store_turned<ROWS>(transposed, rows, row, column + word * 4, tile, stride, group, word);
}
