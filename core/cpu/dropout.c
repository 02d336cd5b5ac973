#include "core/ops/dropout.h"

#include "core/cpu/real.h"
#include "core/rng.h"
#include "core/step.h"

DECLARE_KERNELS(dropout);

/* Four elements share one Philox block; a row of the batch may start in the middle of a block. */
Status KERNEL(dropout)(const Node *node, void *stream) {
    (void)stream;
    const DropoutAttrs *attrs = node->attrs;
    const Tensor *x = node->inputs[0];
    const StepState *step = tensor_data(node->inputs[1]);
    const stored *in = tensor_data(x);
    stored *out = tensor_data(node->outputs[0]);
    int64_t count = tensor_count(x), sample = count / x->shape[0];
    uint64_t first = (uint64_t)step->first_sample * (uint64_t)sample,
             counter = rng_counter(step->step, attrs->stream);
    uint32_t threshold = rng_threshold(attrs->probability);
    real scale = (real)(1 / (1 - attrs->probability));
#pragma omp parallel for schedule(static)
    for (int64_t block = (int64_t)(first / 4); block < (int64_t)((first + (uint64_t)count + 3) / 4);
         block++) {
        Philox words = philox(step->seed, (uint64_t)block, counter);
        for (int64_t k = 0; k < 4; k++) {
            int64_t i = block * 4 + k - (int64_t)first;
            if (i < 0 || i >= count) continue;
            real y = words.word[k] < threshold ? 0 : load(in[i]) * scale;
            out[i] = store(attrs->accumulate ? load(out[i]) + y : y);
        }
    }
    return OK;
}
