/* Qwen2: Llama's layers with biases in the projection to q, k and v. It has no presets.
 *
 * Source: Yang et al. 2024, arXiv:2407.10671, section 2.2. */
#pragma once

#include "nn/models/family.h"

extern const ModelFamily qwen2_family;
