/* GPT-2: pre-layernorm blocks, learned positions, an lm_head tied to wte.
 *
 * Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3;
 * sizes of table 2. */
#pragma once

#include "nn/layers.h"

typedef struct GptConfig {
    int64_t V, Vp; /* vocabulary, and padded to a multiple (model.pad_vocab) for faster products */
    int64_t T;     /* positions: model.block_size */
    int64_t L, NH, C;
    bool bias;
    double dropout;
} GptConfig;

typedef struct Gpt {
    GptConfig config;
    Parameter *wte, *wpe; /* (Vp, C), (T, C) */
    Block *blocks;        /* L of them */
    LayerNorm ln_f;
} Gpt;

/* Declares the model's parameters and lays them out. */
NODISCARD Status gpt_create(const GptConfig *config, Parameters *parameters, Gpt **out);
void gpt_destroy(Gpt **gpt);

/* Records tokens (B, T) i32 -> the final layernorm's output (B, T, C). */
Tensor *gpt_forward(Program *p, const Gpt *gpt, Tensor *tokens, const ForwardContext *context);

/* Floating-point operations of forward and backward for one token: 6 N + 12 L NH HS T, N without
 * wpe. Source: Chowdhery et al., arXiv:2204.02311, appendix B. */
double gpt_flops_per_token(const Gpt *gpt, const Parameters *parameters);
