/* Random numbers without state: Philox4x32-10, a function of (key, counter).
 *
 * Every draw is a pure function of (seed, step, stream, index), so a resumed run, a different
 * tiling or a different number of ranks draws the same numbers. Source: Salmon et al., "Parallel
 * Random Numbers: As Easy as 1, 2, 3", SC'11, section 3.3. Header-only, for C and CUDA. */
#pragma once

#include <stdint.h>

#ifdef __CUDACC__
#define RNG_INLINE static inline __host__ __device__
#else
#define RNG_INLINE static inline
#endif

typedef struct Philox {
    uint32_t word[4];
} Philox;

/* Four random words for a 64-bit key and a 128-bit counter (low, high). */
RNG_INLINE Philox philox(uint64_t key, uint64_t low, uint64_t high) {
    uint32_t c0 = (uint32_t)low, c1 = (uint32_t)(low >> 32), c2 = (uint32_t)high,
             c3 = (uint32_t)(high >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0, c1 = (uint32_t)p1, c2 = n2, c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    Philox out = {{c0, c1, c2, c3}};
    return out;
}

/* The high half of a counter: the step, and the random op of the program (its stream). */
RNG_INLINE uint64_t rng_counter(uint64_t step, uint32_t stream) {
    return (step << 24) | (stream & 0xFFFFFFu);
}

/* Words below this threshold are dropped: drop probability p in [0, 1) as a 32-bit threshold. */
RNG_INLINE uint32_t rng_threshold(double p) { return (uint32_t)(p * 4294967296.0); }

/* Uniform in [0, 1) with 24 bits, and in (0, 1] for the argument of a logarithm. */
RNG_INLINE float rng_uniform(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }
