/* A model as training, generation, planning and conversion see it: a decoder-only transformer with
 * the layers that its configuration chooses. */
#pragma once

#include "nn/layers.h"

typedef struct Model {
    ModelConfig config; /* complete */
    Parameter *head;    /* (Vp, C): logits = x head^T; wte if they are tied */
    Parameter *wte;     /* (Vp, C) */
    Parameter *wpe;     /* (T, C); NULL without learned positions */
    Block *blocks;      /* (L) */
    Norm ln_f;
} Model;

/* Declares the model's parameters and lays them out. Destroy `out` after a failure, too. */
NODISCARD Status model_create(const ModelConfig *config, Parameters *parameters, Model **out);
void model_destroy(Model **model);

/* Records the forward pass from tokens (B, T) i32 to the output of the final norm (B, T, C). */
Tensor *model_forward(Program *p, const Model *model, Tensor *tokens,
                      const ForwardContext *context);

/* The logits (V) of a row of x head^T (Vp): without padding, and softcapped. out == padded is
 * allowed, and so is out < padded. */
void model_logits_row(const ModelConfig *config, const float *padded, float *out);

/* Floating-point operations of forward and backward per token: 6 N + 12 NH HS sum(keys), N without
 * the parameters that are looked up, keys = min(T, window) in each layer. `windows`: of this phase;
 * NULL: the model's. Source: Chowdhery et al., arXiv:2204.02311, appendix B. */
double model_flops_per_token(const Model *model, const Parameters *parameters,
                             const LayerPattern *windows);
