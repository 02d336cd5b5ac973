#include "nn/models/modern.h"

static const PresetValue layers[] = {
    {"model.bias", "false"},
    {"model.norm", "rmsnorm"},
    {"model.norm_weight", "false"},
    {"model.norm_eps", "1e-6"},
    {"model.position", "rope"},
    {"model.rope.base", "1024"},
    {"model.rope.fraction", "0.5"},
    {"model.mlp", "relu2"},
    {"model.qk_norm", "true"},
    {"model.qk_norm_weight", "false"},
    {"attention.scale", "0.12"},
    {"model.tie_embeddings", "false"},
    {"model.embedding_norm", "true"},
    {"model.embedding_std", "1"},
    {"model.residual_scalars", "true"},
    {"model.zero_init", "true"},
    {NULL, NULL},
};

static const ModelPreset presets[] = {
    {"modern", (const PresetValue[]){{"model.n_layer", "12"},
                                     {"model.n_head", "6"},
                                     {"model.n_embd", "768"},
                                     {"model.block_size", "1024"},
                                     {"model.vocab_size", "50257"},
                                     {NULL, NULL}}},
    {"modern-small", (const PresetValue[]){{"model.n_layer", "4"},
                                           {"model.n_head", "2"},
                                           {"model.n_embd", "128"},
                                           {"model.block_size", "128"},
                                           {"model.vocab_size", "auto"},
                                           {"model.linear_std", "0.05"},
                                           {NULL, NULL}}},
    {NULL, NULL},
};

const ModelFamily modern_family = {
    .name = "modern",
    .title = "modern GPT",
    .layers = layers,
    .presets = presets,
};
