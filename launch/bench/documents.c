#include "launch/bench/documents.h"

#include "core/rng.h"

#include <math.h>

static int64_t length_draw(uint64_t seed, int64_t b, int64_t start, int64_t mean) {
    Philox words = philox(seed, (uint64_t)start, (uint64_t)b);
    return 1 + (int64_t)(-log(1 - (double)rng_uniform(words.word[0])) * (double)(mean - 1));
}

void documents_draw(int64_t B, int64_t T, int64_t mean, uint64_t seed, int32_t *ranges, double *pairs) {
    *pairs = 0;
    for (int64_t b = 0; b < B; b++) {
        for (int64_t start = 0, end; start < T; start = end) {
            end = start + length_draw(seed, b, start, mean);
            end = end < T ? end : T;
            for (int64_t i = start; i < end; i++) {
                ranges[b * T + i] = (int32_t)start;
                ranges[(B + b) * T + i] = (int32_t)end;
            }
            *pairs += 0.5 * (double)(end - start) * (double)(end - start + 1);
        }
    }
}
