/* The samples of ./generate: batches of texts, printed in order. Not collective. */
#pragma once

#include "launch/generate/generator.h"
#include "nn/sampling.h"

typedef struct SampleOptions {
    int64_t num_samples, max_new_tokens;
    Sampling sampling;
} SampleOptions;

/* Prints `start`, then the tokens that follow the prompt, for each sample. The first sample that is
 * not complete is printed as it is made, the others after it. An end of text ends its sample alone.
 * Token i of sample s uses draw s * max_new_tokens + i, so that it does not depend on the batch,
 * except for the rounding of the logits. At the end prints speed and memory to stderr. */
NODISCARD Status samples_print(Generator *generator, const SampleOptions *options,
                               const TokenBuffer *prompt, const char *start, size_t start_bytes);
