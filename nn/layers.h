/* Layers of a transformer: structs of parameters, and functions that record the forward pass. */
#pragma once

#include "nn/kv_cache.h"
#include "nn/parameters.h"

typedef struct Linear {
    Parameter *weight, *bias; /* (N, K), (N) or NULL */
} Linear;

typedef struct Norm {
    Parameter *weight, *bias; /* (C) or NULL, (C) or NULL */
} Norm;

/* A causal convolution over a few tokens, added to its input; without a weight none. */
typedef struct ShortConv {
    Parameter *weight; /* (taps, columns), or NULL */
    ConvPlace place;
    int layer;
} ShortConv;

typedef struct Attention {
    Linear c_attn, c_proj;      /* ((NH + 2 NH_kv) HS, C), (C, NH HS) */
    ShortConv conv, qkv_conv;   /* of the input; of q, k and v */
    Parameter *q_norm, *k_norm; /* (HS), or NULL */
    Parameter *value_embedding; /* (Vp, NH_kv HS), or NULL */
    Parameter *value_gate;      /* (NH_kv), or NULL */
    int64_t window;             /* 0: none */
    int layer;                  /* the number of its block */
} Attention;

typedef struct Mlp {
    Linear c_fc, c_proj; /* (F, C), or (2 F, C) with the gate first; (C, F) */
    ShortConv conv;      /* of the input */
} Mlp;

typedef struct Block {
    Parameter *scalars; /* (2), or NULL */
    Norm ln_1, ln_2;    /* a parallel block has ln_1 only */
    Attention attn;
    Mlp mlp;
} Block;

/* The residual stream: the sum so far, and the branch that the next norm adds to it (NULL: none).
 */
typedef struct Residual {
    Tensor *sum, *branch;
    Tensor *first; /* the embeddings, for residual_scalars */
} Residual;

/* What backward recomputes instead of keeping: nothing; the activation's output, which is the
 * cheapest to recompute and a quarter of a block's memory; or the whole block from its input. */
typedef enum Recompute { RECOMPUTE_NONE, RECOMPUTE_GELU, RECOMPUTE_BLOCK } Recompute;

/* Shared by all layers of a program. */
typedef struct ForwardContext {
    const KernelChoice *attention;
    double dropout;
    Tensor *step; /* u8, the StepState */
    Recompute recompute;
    /* Of nn/attention/documents.h: attention stays inside documents; NULL: it does not. */
    Tensor *documents;
    const LayerPattern *windows; /* of attention; NULL: the model's */
    /* The inputs of a program that appends to a cache of keys and values; NULL: no cache. */
    const KvTokens *cached;
    Tensor *tokens;     /* (B, T) i32; model_forward sets it, */
    Tensor *rope_table; /* and this: of core/ops/rope.h; NULL without rotary positions */
} ForwardContext;

/* Declares the parameters `name.weight` and `name.bias`. std 0: zeros. */
NODISCARD Status linear_create(Parameters *parameters, const char *name, int64_t N, int64_t K,
                               double std, bool bias, Linear *out);
NODISCARD Status norm_create(Parameters *parameters, const char *name, const ModelConfig *config,
                             Norm *out);

/* The block `h.INDEX`. Its c_proj weights are initialized with std linear_std / sqrt(2L), as
 * GPT-2's scaled residual projections, or with zeros. */
NODISCARD Status block_create(Parameters *parameters, int index, const ModelConfig *config,
                              Block *out);

/* y (..., N) = x w^T + bias. */
Tensor *linear_forward(Program *p, const Linear *linear, Tensor *x);

/* residual.sum += residual.branch; returns its norm. */
Tensor *norm_forward(Program *p, const Norm *norm, const ModelConfig *config, Residual *residual);

/* `windows`: of a phase; NULL: the model's. */
int64_t attn_window(const Attention *attn, const LayerPattern *windows);

/* Branches (B, T, C) -> (B, T, C), with their short convolutions. */
Tensor *attn_forward(Program *p, const Attention *attn, const ModelConfig *config, Tensor *x,
                     const ForwardContext *context);
Tensor *mlp_forward(Program *p, const Mlp *mlp, const ModelConfig *config, Tensor *x,
                    const ForwardContext *context);

/* x = x + attn(ln_1(x)); x = x + mlp(ln_2(x)). In parallel: x = x + attn(n) + mlp(n), n = ln_1(x).
 * With scalars x = s[0] x + s[1] first comes before. */
void block_forward(Program *p, const Block *block, const ModelConfig *config, Residual *x,
                   const ForwardContext *context);
