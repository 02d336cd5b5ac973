/* GPT-2: pre-layernorm blocks, learned positions, GELU, biases, an lm_head tied to wte.
 *
 * Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3;
 * sizes of table 2. */
#pragma once

#include "nn/models/family.h"

extern const ModelFamily gpt2_family;
