/* Dropout inside the flash kernels: which weights of a warp's tile are kept, as bits in the layout
 * of its accumulators.
 *
 * Element (i, j) of a head is word index % 4 of the draw at index / 4, index counted over the whole
 * (sample, head, i, j) array (core/rng.h), so that no tiling and no rank count changes the mask. A
 * draw takes about 70 instructions and holds four neighboring keys of one query, which belong to
 * two lanes where rows are queries and to four where rows are keys: each lane computes its share of
 * the draws, packs 4 bits of each, and the lanes exchange whole words. If Tk is not a multiple of
 * 4, draws straddle rows, and every element makes its own draw. */
#pragma once

#include "nn/attention/cuda/common/flash_common.cuh"

/* Bit 4 n + e of word[m][r] is set where element (n, r, e) of columns [64 m, 64 m + 64) is kept:
 * block n of 8 columns, lower or upper row r, left or right column e. */
template <int N>
struct FlashKept {
    static constexpr int WORDS = (N + 63) / 64;
    uint32_t word[WORDS][2];
    __device__ __forceinline__ bool operator()(int n, int r, int e) const {
        return word[n / 8][r] >> (n % 8 * 4 + e) & 1;
    }

    /* The same as a mask over the two 16-bit halves that flash_pack produces from one row of block
     * n. */
    __device__ __forceinline__ uint32_t halves(int n, int r) const {
        return ((*this)(n, r, 0) ? 0x0000FFFFu : 0) | ((*this)(n, r, 1) ? 0xFFFF0000u : 0);
    }
};

struct FlashDropout {
    uint64_t seed, counter, head;
    uint32_t threshold;
    int Tk;

    __device__ __forceinline__ FlashDropout(const FlashParams &p, int b, int h)
        : seed(p.step->seed), counter(rng_counter(p.step->step, p.stream)),
          head((uint64_t)((p.step->first_sample + b) * p.NH + h) * (uint64_t)p.Tq * (uint64_t)p.Tk),
          threshold(p.threshold), Tk(p.Tk) {}

    __device__ __forceinline__ uint64_t index(int i, int j) const {
        return head + (uint64_t)i * (uint64_t)Tk + (uint64_t)j;
    }

    /* The four bits of the draw that holds this element. */
    __device__ __forceinline__ uint32_t draw(uint64_t index) const {
        const Philox w = philox(seed, index / 4, counter);
        return (uint32_t)(w.word[0] >= threshold) | (uint32_t)(w.word[1] >= threshold) << 1 |
               (uint32_t)(w.word[2] >= threshold) << 2 | (uint32_t)(w.word[3] >= threshold) << 3;
    }

    /* One word, element by element; row, column: this lane's first element of it. */
    template <bool ALONG_KEYS, int BLOCKS>
    __device__ __forceinline__ void straddling(uint32_t (&word)[2], int row, int column) const {
        word[0] = word[1] = 0;
#pragma unroll 1
        for (int at = 0; at < 4 * BLOCKS; at++) {
            const int n = at / 4, e = at & 1, r = at / 2 & 1, other = column + 8 * n + e;
            const uint64_t element =
                ALONG_KEYS ? index(row + 8 * r, other) : index(other, row + 8 * r);
            const uint32_t bit = (draw(element) >> (element & 3) & 1) << (4 * n + e);
            word[0] |= r ? 0 : bit, word[1] |= r ? bit : 0;
        }
    }

    /* Rows of the tile are queries, N columns from `column` keys; column is a multiple of 4. */
    template <int N>
    __device__ __forceinline__ void along_keys(FlashKept<N> &kept, int row, int column) const {
        constexpr int BLOCKS = N < 64 ? N / 8 : 8;
        const int odd = threadIdx.x & 1, half = threadIdx.x >> 1 & 1;
#pragma unroll
        for (int m = 0; m < FlashKept<N>::WORDS; m++) {
            if (Tk % 4 != 0) {
                straddling<true, BLOCKS>(kept.word[m], row,
                                         column + 64 * m + (int)threadIdx.x % 4 * 2);
                continue;
            }
            const uint64_t first = index(row + 8 * odd, column + 64 * m + 4 * half);
            uint32_t own = 0;
#pragma unroll 2
            for (int n = 0; n < BLOCKS; n++) own |= draw(first + 8 * n) << (4 * n);
            const uint32_t other = __shfl_xor_sync(0xFFFFFFFFu, own, 1);
            kept.word[m][0] = odd ? other >> 2 : own;
            kept.word[m][1] = odd ? own >> 2 : other;
        }
    }

    /* Rows of the tile are keys, N columns from `column` queries; the warp's first row is a
     * multiple of 4. */
    template <int N>
    __device__ __forceinline__ void along_queries(FlashKept<N> &kept, int row, int column) const {
        constexpr int BLOCKS = N < 64 ? N / 8 : 8;
        const int lane = threadIdx.x % 32, u = lane >> 2 & 3;
        static_assert(FlashKept<N>::WORDS == 1, "one word of queries");
        if (Tk % 4 != 0) return straddling<false, BLOCKS>(kept.word[0], row, column + lane % 4 * 2);
        const uint64_t first = index(column + lane % 4 * 2 + (u & 1), row - u + u / 2 * 8);
        uint32_t own = 0;
#pragma unroll 2
        for (int n = 0; n < BLOCKS; n++)
            own |= draw(first + (uint64_t)(8 * n) * (uint64_t)Tk) << (4 * n);
        uint32_t part[4];
#pragma unroll
        for (int from = 0; from < 4; from++)
            part[from] =
                __shfl_sync(0xFFFFFFFFu, own, (lane & 0x13) | from << 2) >> u & 0x11111111u;
        kept.word[0][0] = part[0] | part[1] << 1;
        kept.word[0][1] = part[2] | part[3] << 1;
    }
};
