/* Dropout of attention weights on the CPU: the same mask in both directions and for any tiling, a function of the
 * weight's index ((sample * NH + head) * Tq + i) * Tk + j in the global batch. */
#pragma once

#include "core/cpu/real.h"
#include "core/rng.h"
#include "nn/attention/sdpa.h"

/* x[j - first] *= mask / (1 - p) for the keys [first, end) of query i. */
static inline void attention_dropout_row(const AttentionCall *call, const AttentionArgs *args, int64_t b, int64_t h,
                                         int64_t i, int64_t first, int64_t end, real *x) {
    uint64_t sample = (uint64_t)(args->step->first_sample + b);
    uint64_t base =
        ((sample * (uint64_t)call->NH + (uint64_t)h) * (uint64_t)call->Tq + (uint64_t)i) * (uint64_t)call->Tk;
    uint64_t counter = rng_counter(args->step->step, call->stream);
    uint32_t threshold = rng_threshold(call->dropout);
    real scale = (real)(1 / (1 - call->dropout));
    for (int64_t j = first; j < end;) {
        uint64_t index = base + (uint64_t)j;
        Philox words = philox(args->step->seed, index / 4, counter);
        for (uint64_t k = index % 4; k < 4 && j < end; k++, j++) {
            x[j - first] *= words.word[k] < threshold ? 0 : scale;
        }
    }
}
