/* Qwen3: Llama's layers with a norm of each head of q and k, and heads of 128 channels.
 *
 * Source: Yang et al. 2025, arXiv:2505.09388, section 2 and table 1; values of the published
 * config.json files. */
#pragma once

#include "nn/models/family.h"

extern const ModelFamily qwen3_family;
