/* A few hundred numbers in one block: bound by its launch. */
#include "core/ops/delayed_scale.h"

#include "core/cuda/cuda_common.cuh"
#include "core/float8.h"
#include "core/ops/quantize.h"
#include "core/step.h"

enum { THREADS = 256 };

struct DelayedScaleParams {
    const StepState *state;
    float *scale, *saturated;
    uint32_t *history, *observed;
    int64_t S, H, ranks;
    DType forward, gradient;
    double elements;
};

/* The greatest element of a site over the ranks; counts saturated elements, and empties the
 * observation. */
static __device__ uint32_t site_take(const DelayedScaleParams &p, int64_t s, double *count) {
    uint32_t largest = 0;
    for (int64_t rank = 0; rank < p.ranks; rank++) {
        uint32_t *observed = p.observed + (rank * p.S + s) * OBSERVED_COUNT;
        largest = max(largest, observed[OBSERVED_LARGEST]);
        *count += (double)observed[OBSERVED_SATURATED];
        observed[OBSERVED_LARGEST] = observed[OBSERVED_SATURATED] = 0;
    }
    return largest;
}

static __global__ void __launch_bounds__(THREADS) delayed_scale_kernel(DelayedScaleParams p) {
    uint32_t *line = p.history + (int64_t)(p.state->step % (uint64_t)p.H) * p.S;
    double count = 0;
    for (int64_t s = threadIdx.x; s < p.S; s += THREADS) {
        uint32_t now = site_take(p, s, &count), largest = 0;
        if (now < 0x7F800000) line[s] = now;
        for (int64_t t = 0; t < p.H; t++) largest = max(largest, p.history[t * p.S + s]);
        bool is_gradient = s % DELAYED_SITES == DELAYED_SITES - 1;
        float *scale = p.scale + s * SCALE_STRIDE;
        *scale = float8_scale_of_bits(is_gradient ? p.gradient : p.forward, largest, *scale);
    }
    count = block_sum(count);
    if (threadIdx.x == 0) *p.saturated = (float)(count / p.elements);
}

extern "C" Status delayed_scale_cuda(const Node *node, void *stream) {
    const DelayedScaleAttrs *attrs = (const DelayedScaleAttrs *)node->attrs;
    DelayedScaleParams p = {};
    p.state = data_of<const StepState>(node->inputs[0]);
    p.scale = data_of<float>(node->outputs[0]), p.saturated = data_of<float>(node->outputs[2]);
    p.history = data_of<uint32_t>(node->outputs[1]);
    p.observed = data_of<uint32_t>(node->outputs[3]);
    p.S = tensor_rows(node->outputs[0]), p.H = tensor_rows(node->outputs[1]);
    p.ranks = node->outputs[3]->shape[0];
    p.forward = attrs->forward, p.gradient = attrs->gradient, p.elements = attrs->elements;
    delayed_scale_kernel<<<1, THREADS, 0, (cudaStream_t)stream>>>(p);
    return cuda_launched("delayed_scale");
}
