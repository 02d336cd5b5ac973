/* The frequencies of rotary position embeddings, with the scalings of context length that Hugging
 * Face's models use (`rope_scaling` of a config.json). Not collective. */
#pragma once

#include "core/ops/rope.h"

typedef enum RopeScaling {
    ROPE_SCALING_NONE,
    ROPE_SCALING_LINEAR,
    ROPE_SCALING_LLAMA3,
    ROPE_SCALING_YARN
} RopeScaling;

typedef struct RopeOptions {
    double base;     /* rope_theta */
    double fraction; /* of a head's dimensions, the first ones: partial_rotary_factor */
    RopeScaling scaling;
    double factor;                            /* of every scaling: new over old context length */
    double low_freq_factor, high_freq_factor; /* llama3 */
    int64_t original_positions;               /* llama3 and yarn: the old context length */
    double beta_fast, beta_slow;              /* yarn: rotations over the old context */
    double attention_factor;                  /* yarn; 0: 0.1 ln(factor) + 1 */
} RopeOptions;

/* No scaling: base 10000, and the published defaults of the scalings' own options. */
#define ROPE_OPTIONS_DEFAULTS                                                                      \
    {                                                                                              \
        .base = 10000, .fraction = 1, .factor = 1, .low_freq_factor = 1, .high_freq_factor = 4,    \
        .beta_fast = 32, .beta_slow = 1                                                            \
    }

/* rope_frequencies: radians per position of pair i, which is dimensions i and i + pairs of a head,
 * with d = fraction HS dimensions, pairs = d / 2 and r_i = base^(-2i / d):
 *
 *   none    r_i
 *   linear  r_i / factor
 *   llama3  r_i / factor if original r_i / 2 pi < low_freq_factor; r_i if it is above
 *           high_freq_factor; linear between the two in that quotient
 *   yarn    r_i for i <= low, r_i / factor for i >= high, linear between the two, with
 *           low = floor(c(beta_fast)), high = ceil(c(beta_slow)), within 0 to d - 1, and
 *           c(beta) = d ln(original / (2 pi beta)) / (2 ln(base)); magnitude = attention_factor
 *
 *   Errors: STATUS_CONFIG if d is odd, below 2 or above HS, or an option is out of range.
 *   Source: arXiv:2104.09864, section 3.3; arXiv:2309.00071, section 3.2 and 3.4 (YaRN);
 *   modeling_rope_utils.py of transformers 4.46, which tests/golden/make_rope.py runs. */
NODISCARD Status rope_frequencies(const RopeOptions *options, int64_t HS, RopeFrequencies *out);
