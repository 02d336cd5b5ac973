/* Sampling: draws a token from logits. Not collective. */
#pragma once

#include "core/status.h"

#include <stdint.h>

/* The defaults of ./generate, which a run's samples have too. */
#define SAMPLING_TEMPERATURE 0.8
#define SAMPLING_TOP_K 200
#define SAMPLING_TOP_P 1

typedef struct Sampling {
    double temperature; /* 0: always the most likely token */
    int64_t top_k;      /* 0: all */
    double top_p;       /* 1: all */
    uint64_t seed;
} Sampling;

/* Draws a token from p = softmax(logits / temperature) over the top_k most likely tokens, and of
 * these over the smallest set of most likely tokens whose probabilities sum to top_p. Tokens as
 * likely as the last of a set belong to it. A function of (seed, index). Overwrites the logits;
 * `scratch` has V elements, too.
 *   Errors: STATUS_FAILURE if a logit is NaN or the greatest is infinite.
 *   Source: top-p: Holtzman et al., arXiv:1904.09751, section 3.1. */
NODISCARD Status sampling_draw(const Sampling *sampling, uint64_t index, float *logits, int64_t V,
                               float *scratch, int32_t *token);
