#include "nn/models/mistral.h"

#include "nn/models/llama.h"

static const PresetValue layers[] = {
    {"model.bias", "false"},
    {"model.norm", "rmsnorm"},
    {"model.position", "rope"},
    {"model.mlp", "swiglu"},
    {"model.norm_eps", "1e-5"},
    {"model.tie_embeddings", "false"},
    {NULL, NULL},
};

static const ModelPreset presets[] = {
    {"mistral-124m", (const PresetValue[]){{"model.n_layer", "12"},
                                           {"model.n_head", "12"},
                                           {"model.n_kv_head", "4"},
                                           {"model.n_embd", "768"},
                                           {"model.block_size", "2048"},
                                           {"model.vocab_size", "50257"},
                                           {"model.mlp_width", "2048"},
                                           {"attention.window", "512"},
                                           {"model.tie_embeddings", "true"},
                                           {NULL, NULL}}},
    {"mistral-7b", (const PresetValue[]){{"model.n_layer", "32"},
                                         {"model.n_head", "32"},
                                         {"model.n_kv_head", "8"},
                                         {"model.n_embd", "4096"},
                                         {"model.block_size", "8192"},
                                         {"model.vocab_size", "32000"},
                                         {"model.mlp_width", "14336"},
                                         {"model.head_dim", "128"},
                                         {"attention.window", "4096"},
                                         {NULL, NULL}}},
    {NULL, NULL},
};

const ModelFamily mistral_family = {
    .name = "mistral",
    .title = "Mistral",
    .layers = layers,
    .presets = presets,
    .parameters = llama_parameters,
    .hugging_face_prefix = LLAMA_PREFIX,
    .hugging_face_ignored = llama_buffers,
};
