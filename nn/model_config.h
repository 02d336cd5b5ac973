/* ModelConfig: the sizes of a model and the choice of each of its layers. A model family is a set
 * of these values and nothing else: nn/models/. */
#pragma once

#include "core/status.h"
#include "nn/rope.h"

#include <stdbool.h>
#include <stdint.h>

/* The value of layer i is items[i % count]. */
enum { LAYER_PATTERN_MAX = 64 };
typedef struct LayerPattern {
    int count; /* 0: 0 for every layer */
    int64_t items[LAYER_PATTERN_MAX];
} LayerPattern;

int64_t layer_pattern_at(const LayerPattern *pattern, int64_t layer);
bool layer_pattern_is_zero(const LayerPattern *pattern);

/* The values are those of the keys of the same names in docs/config.md, in the order of the
 * schema. */
typedef enum ModelNorm { MODEL_LAYERNORM, MODEL_RMSNORM } ModelNorm;
typedef enum ModelPosition { POSITION_LEARNED, POSITION_ROPE, POSITION_NONE } ModelPosition;
typedef enum ModelMlp { MLP_GELU, MLP_SWIGLU, MLP_GEGLU, MLP_RELU2 } ModelMlp;
typedef enum ModelBlock { BLOCK_SEQUENTIAL, BLOCK_PARALLEL } ModelBlock;
typedef enum QkvBias { QKV_BIAS_AUTO, QKV_BIAS_TRUE, QKV_BIAS_FALSE } QkvBias;

/* Where a short convolution lies: before the product of q, k and v, behind it, before the MLP. */
typedef enum ConvPlace { CONV_ATTENTION, CONV_QKV, CONV_MLP, CONV_PLACES } ConvPlace;

typedef struct ModelConfig {
    int64_t L, NH, C;
    int64_t V, Vp;    /* vocabulary, unpadded and padded to a multiple (model.pad_vocab) for faster
                         products */
    int64_t T;        /* positions: model.block_size */
    int64_t NH_kv;    /* key heads; 0: NH */
    int64_t HS;       /* channels of a head; 0: C / NH */
    int64_t F;        /* hidden channels of the MLP; 0: by model_mlp_width */
    bool bias;        /* in linear layers and layer norms */
    QkvBias qkv_bias; /* of the projection to q, k and v; auto: as `bias` */
    double dropout;

    ModelNorm norm;
    bool norm_weight;
    double norm_eps;
    ModelPosition position;
    RopeOptions rope; /* original_positions 0: T */
    ModelMlp mlp;
    ModelBlock block;

    bool qk_norm, qk_norm_weight;
    LayerPattern window;      /* 0: every earlier token */
    double attention_scale;   /* 0: 1 / sqrt(HS) */
    double attention_softcap; /* of the scores; 0: none */

    bool tie_embeddings;
    double logit_softcap;            /* 0: none */
    bool embedding_norm;             /* normalizes the looked-up rows, without weights */
    LayerPattern value_embeddings;   /* 1: the layer adds an embedding of the token to v */
    bool residual_scalars;           /* x = s[0] x + s[1] x0 before each block */
    int64_t short_conv[CONV_PLACES]; /* taps of core/ops/short_conv.h in each place; 0: none */
    bool zero_init;                  /* c_proj and an untied lm_head start at 0 */
    double embedding_std;            /* of the initial wte */
    double linear_std;               /* of the initial linear layers; c_proj's is / sqrt(2 L) */
} ModelConfig;

/* The layers of GPT-2, for initializers. */
#define MODEL_CONFIG_DEFAULTS                                                                      \
    .bias = true, .norm_weight = true, .norm_eps = 1e-5, .rope = ROPE_OPTIONS_DEFAULTS,            \
    .qk_norm_weight = true, .tie_embeddings = true, .embedding_std = 0.02, .linear_std = 0.02

/* 4 C, or the multiple of 64 at or above 8/3 C for the gated MLPs, which have three matrices:
 * arXiv:2002.05202, section 3. */
int64_t model_mlp_width(ModelMlp mlp, int64_t C);

bool model_mlp_is_gated(ModelMlp mlp);

/* Replaces each `auto` by its value: NH_kv, HS, F, qkv_bias, rope.original_positions. */
ModelConfig model_config_complete(ModelConfig config);

/* Columns of the packed q, k and v: (NH + 2 NH_kv) HS. */
int64_t model_qkv_columns(const ModelConfig *config);

/* The channels of the short convolutions in this place. */
int64_t model_conv_columns(const ModelConfig *config, ConvPlace place);
