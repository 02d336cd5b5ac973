/* Dropout of attention weights on the CPU: the same mask in both directions and for any tiling, a
 * function of the weight's index ((sample * NH + head) * Tq + i) * Tk + j in the global batch. */
#pragma once

#include "core/rng.h"
#include "nn/attention/cpu/head_cpu.h"

/* x[j - first] *= mask / (1 - p) for the keys [first, end) of query i; no effect without
 * dropout. */
static inline void head_drop(const Head *head, int64_t i, int64_t first, int64_t end, real *x) {
    const AttentionCall *call = head->call;
    const StepState *step = head->args->step;
    if (call->dropout <= 0) return;
    uint64_t row =
        (uint64_t)(step->first_sample + head->b) * (uint64_t)call->NH + (uint64_t)head->h;
    uint64_t base = (row * (uint64_t)call->Tq + (uint64_t)i) * (uint64_t)call->Tk;
    uint64_t counter = rng_counter(step->step, call->stream);
    uint32_t threshold = rng_threshold(call->dropout);
    real scale = (real)(1 / (1 - call->dropout));
    for (int64_t j = first; j < end;) {
        uint64_t index = base + (uint64_t)j;
        Philox words = philox(step->seed, index / 4, counter);
        for (uint64_t k = index % 4; k < 4 && j < end; k++, j++) {
            x[j - first] *= words.word[k] < threshold ? 0 : scale;
        }
    }
}
