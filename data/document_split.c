#include "data/document_split.h"

#include "core/rng.h"

#include <math.h>

enum { STREAM = 0x5b117 };

static int64_t run_start(double fraction, int64_t k) { return (int64_t)ceil((double)k / fraction); }

bool document_split_is_val(uint64_t seed, double fraction, int64_t index) {
    if (fraction <= 0) return false;
    int64_t k = (int64_t)((double)index * fraction);
    while (run_start(fraction, k) > index) k--;
    while (run_start(fraction, k + 1) <= index) k++;
    int64_t start = run_start(fraction, k), length = run_start(fraction, k + 1) - start;
    Philox random = philox(seed, (uint64_t)k, STREAM);
    uint64_t word = (uint64_t)random.word[1] << 32 | random.word[0];
    return start + (int64_t)(word % (uint64_t)length) == index;
}
