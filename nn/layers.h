/* Layers of a transformer: structs of parameters, and functions that record the forward pass. */
#pragma once

#include "nn/attention/attention.h"
#include "nn/parameters.h"

typedef struct Linear {
    Parameter *weight, *bias; /* (N, K), (N) or NULL */
} Linear;

typedef struct LayerNorm {
    Parameter *weight, *bias; /* (C), (C) or NULL */
} LayerNorm;

typedef struct Attention {
    Linear c_attn, c_proj; /* (3C, C), (C, C) */
    int64_t NH;
} Attention;

typedef struct Mlp {
    Linear c_fc, c_proj; /* (4C, C), (C, 4C) */
} Mlp;

typedef struct Block {
    LayerNorm ln_1, ln_2;
    Attention attn;
    Mlp mlp;
    int index;
} Block;

/* The residual stream: the sum so far, and the branch that the next layernorm adds to it (NULL:
 * none). */
typedef struct Residual {
    Tensor *sum, *branch;
} Residual;

/* What backward recomputes instead of keeping: nothing; the GELU's output, which is the cheapest to
 * recompute and a quarter of a block's memory; or the whole block from its input. */
typedef enum Recompute { RECOMPUTE_NONE, RECOMPUTE_GELU, RECOMPUTE_BLOCK } Recompute;

/* Shared by all layers of a program. */
typedef struct ForwardContext {
    const KernelChoice *attention;
    double dropout;
    Tensor *step; /* u8, the StepState */
    Recompute recompute;
    /* Of nn/attention/documents.h: attention stays inside documents; NULL: it does not. */
    Tensor *documents;
} ForwardContext;

/* Declares the parameters `name.weight` and `name.bias`. */
NODISCARD Status linear_create(Parameters *parameters, const char *name, int64_t N, int64_t K,
                               double std, bool bias, Linear *out);
NODISCARD Status layernorm_create(Parameters *parameters, const char *name, int64_t C, bool bias,
                                  LayerNorm *out);

/* The block `h.INDEX`. Its c_proj weights are initialized with std 0.02 / sqrt(2L), as GPT-2's
 * scaled residual projections. */
NODISCARD Status block_create(Parameters *parameters, int index, int64_t C, int64_t NH, int64_t L,
                              bool bias, Block *out);

/* y (..., N) = x w^T + bias. */
Tensor *linear_forward(Program *p, const Linear *linear, Tensor *x);

/* residual.sum += residual.branch; returns its layernorm. */
Tensor *layernorm_forward(Program *p, const LayerNorm *ln, Residual *residual);

/* Branches (B, T, C) -> (B, T, C). */
Tensor *attn_forward(Program *p, const Attention *attn, Tensor *x, const ForwardContext *context);
Tensor *mlp_forward(Program *p, const Mlp *mlp, Tensor *x, const ForwardContext *context);

/* x = x + attn(ln_1(x)); x = x + mlp(ln_2(x)). */
void block_forward(Program *p, const Block *block, Residual *x, const ForwardContext *context);
