/* A few hundred numbers. Compiled once, for f32. */
#include "core/ops/delayed_scale.h"

#include "core/float8.h"
#include "core/ops/quantize.h"
#include "core/step.h"

Status delayed_scale_cpu(const Node *node, void *stream);

/* The greatest element of a site over the ranks. */
static uint32_t largest_of_ranks(const uint32_t *observed, int64_t ranks, int64_t S, int64_t s) {
    uint32_t largest = 0;
    for (int64_t rank = 0; rank < ranks; rank++) {
        uint32_t bits = observed[(rank * S + s) * OBSERVED_COUNT + OBSERVED_LARGEST];
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

static float site_scale(const uint32_t *history, int64_t H, int64_t S, int64_t s, DType dtype,
                        float scale) {
    uint32_t largest = 0;
    for (int64_t t = 0; t < H; t++)
        largest = history[t * S + s] > largest ? history[t * S + s] : largest;
    return float8_scale_of_bits(dtype, largest, scale);
}

Status delayed_scale_cpu(const Node *node, void *stream) {
    (void)stream;
    const DelayedScaleAttrs *attrs = node->attrs;
    const StepState *state = tensor_data(node->inputs[0]);
    float *scale = tensor_data(node->outputs[0]), *saturated = tensor_data(node->outputs[2]);
    uint32_t *history = tensor_data(node->outputs[1]), *observed = tensor_data(node->outputs[3]);
    int64_t S = tensor_rows(node->outputs[0]), H = tensor_rows(node->outputs[1]),
            ranks = node->outputs[3]->shape[0];
    uint32_t *line = history + (int64_t)(state->step % (uint64_t)H) * S;
    double count = 0;
    for (int64_t s = 0; s < S; s++) {
        uint32_t largest = largest_of_ranks(observed, ranks, S, s);
        DType dtype = s % DELAYED_SITES == DELAYED_SITES - 1 ? attrs->gradient : attrs->forward;
        if (largest < 0x7F800000) line[s] = largest;
        scale[s * SCALE_STRIDE] = site_scale(history, H, S, s, dtype, scale[s * SCALE_STRIDE]);
    }
    for (int64_t i = 0; i < ranks * S; i++)
        count += (double)observed[i * OBSERVED_COUNT + OBSERVED_SATURATED];
    *saturated = (float)(count / attrs->elements);
    memset(observed, 0, (size_t)(ranks * S) * OBSERVED_COUNT * sizeof *observed);
    return OK;
}
