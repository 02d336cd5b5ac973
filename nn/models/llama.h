/* Llama: RMSNorm, rotary positions, SwiGLU, shared key heads, no biases.
 *
 * Source: Touvron et al. 2023, arXiv:2302.13971, section 2.2, and 2307.09288, section 2.2; Llama 3:
 * Grattafiori et al. 2024, arXiv:2407.21783, table 3. Sizes: 15M to 110M as
 * github.com/karpathy/llama2.c; 124M with the layers and channels of GPT-2; 1B as Llama 3.2. */
#pragma once

#include "nn/models/family.h"

extern const ModelFamily llama_family;

/* The tensors of Llama and of the families that share its names, with all biases and norms. They
 * end with a NULL name. */
extern const ParameterNames llama_parameters[];
extern const char *const llama_buffers[]; /* for hugging_face_ignored */
#define LLAMA_PREFIX "model."
