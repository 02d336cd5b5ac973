/* The dropout mask of a tile as bits. Element (i, j) of a head is word index % 4 of the draw at
 * index / 4, so one draw of about 80 instructions serves four adjacent keys. They are in several
 * lanes of a warp: each lane draws for one of them, and the lanes exchange words. If a row of keys
 * is not a whole number of draws, each element makes its own draw. */
#pragma once

#include "nn/attention/cuda/mem_efficient/mem_efficient.cuh"

/* One head's position in the random stream: the index counts over the whole (sample, head, i, j)
 * array, so no tiling and no rank count changes the mask. */
struct EfficientDropout {
    uint64_t seed, counter, head;

    __device__ __forceinline__ EfficientDropout(const EfficientParams &p, int b, int h)
        : seed(p.step->seed), counter(rng_counter(p.step->step, p.stream)),
          head((uint64_t)((p.step->first_sample + b) * p.NH + h) * (uint64_t)p.Tq *
               (uint64_t)p.Tk) {}
};

/* Transposes 4 words over four lanes, one for each q = 0 .. 3, whose bits in the lane number are
 * `low` and 2 low: lane q receives word q of all four, in their order. */
__device__ __forceinline__ void words_transpose(uint32_t (&w)[4], int q, int low) {
    const bool odd = q & 1, high = q & 2;
    const uint32_t from_a = __shfl_xor_sync(0xFFFFFFFFu, odd ? w[0] : w[1], low);
    const uint32_t from_b = __shfl_xor_sync(0xFFFFFFFFu, odd ? w[2] : w[3], low);
    const uint32_t a[2] = {odd ? from_a : w[0], odd ? w[1] : from_a}; /* words q % 2 of two lanes */
    const uint32_t b[2] = {odd ? from_b : w[2], odd ? w[3] : from_b}; /* words q % 2 + 2 */
    const uint32_t first = __shfl_xor_sync(0xFFFFFFFFu, high ? a[0] : b[0], 2 * low);
    const uint32_t second = __shfl_xor_sync(0xFFFFFFFFu, high ? a[1] : b[1], 2 * low);
    w[0] = high ? first : a[0], w[1] = high ? second : a[1];
    w[2] = high ? b[0] : first, w[3] = high ? b[1] : second;
}

/* Bit c of bits[r]: whether the thread's score (r, c) of a tile is kept. row, column: of the tile's
 * corner; rows are queries if BY_QUERY, otherwise keys. */
template <typename Engine, bool BY_QUERY>
struct KeptBits {
    const EfficientParams &p;
    const EfficientDropout &mask;
    int row, column;

    /* The draw that contains element (i, j), and the element's word in it. */
    __device__ __forceinline__ uint32_t draw(uint32_t (&w)[4], int i, int j) const {
        const uint64_t index = mask.head + (uint64_t)i * (uint64_t)p.Tk + (uint64_t)j;
        const Philox words = philox(mask.seed, index / 4, mask.counter);
#pragma unroll
        for (int e = 0; e < 4; e++) w[e] = words.word[e];
        return (uint32_t)index % 4;
    }

    __device__ __forceinline__ bool keeps(int i, int j) const {
        uint32_t w[4];
        const uint32_t at = draw(w, i, j);
        return (at & 2 ? (at & 1 ? w[3] : w[2]) : (at & 1 ? w[1] : w[0])) >= p.threshold;
    }

    /* The words of scores (r, c) to (r, c + 3). */
    __device__ __forceinline__ void words(uint32_t (&w)[4], int r, int c) const {
        const int lane = threadIdx.x % 32;
        if constexpr (BY_QUERY && Engine::PAIRS) { /* two keys here, two in the next lane, of each
                                                      of two blocks */
            const bool odd = lane & 1;
            draw(w, row + Engine::row(r), column + Engine::column(odd ? c + 2 : c) - (odd ? 2 : 0));
            const uint32_t first = __shfl_xor_sync(0xFFFFFFFFu, odd ? w[0] : w[2], 1);
            const uint32_t second = __shfl_xor_sync(0xFFFFFFFFu, odd ? w[1] : w[3], 1);
            const uint32_t own[2] = {odd ? w[2] : w[0], odd ? w[3] : w[1]};
            w[0] = odd ? first : own[0], w[1] = odd ? second : own[1];
            w[2] = odd ? own[0] : first, w[3] = odd ? own[1] : second;
        } else {
            constexpr int LOW = BY_QUERY ? Engine::COLUMN_LANE : Engine::ROW_LANE;
            const int q = lane / LOW % 4;
            if (BY_QUERY)
                draw(w, row + Engine::row(r), column + Engine::column(c + q) - q);
            else
                draw(w, column + Engine::column(c + q), row + Engine::row(r) - q);
            words_transpose(w, q, LOW);
        }
    }

    __device__ __forceinline__ void fill(uint32_t (&bits)[Engine::R]) const {
#pragma unroll
        for (int r = 0; r < Engine::R; r++) bits[r] = 0;
        if (Engine::C % 4 == 0 && p.Tk % 4 == 0) {
#pragma unroll
            for (int r = 0; r < Engine::R; r++)
#pragma unroll
                for (int c = 0; c < Engine::C; c += 4) {
                    uint32_t w[4];
                    words(w, r, c);
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        bits[r] |= (uint32_t)(w[e] >= p.threshold) << (c + e);
                }
        } else {
#pragma unroll
            for (int r = 0; r < Engine::R; r++)
#pragma unroll 1
                for (int c = 0; c < Engine::C; c++) {
                    const int at = row + Engine::row(r), other = column + Engine::column(c);
                    bits[r] |= (uint32_t)keeps(BY_QUERY ? at : other, BY_QUERY ? other : at) << c;
                }
        }
    }
};
