#include "nn/models/qwen3.h"

#include "nn/models/llama.h"

static const PresetValue layers[] = {
    {"model.bias", "false"},   {"model.norm", "rmsnorm"},      {"model.position", "rope"},
    {"model.mlp", "swiglu"},   {"model.norm_eps", "1e-6"},     {"model.qk_norm", "true"},
    {"model.head_dim", "128"}, {"model.rope.base", "1000000"}, {NULL, NULL},
};

static const ModelPreset presets[] = {
    {"qwen3-0.6b", (const PresetValue[]){{"model.n_layer", "28"},
                                         {"model.n_head", "16"},
                                         {"model.n_kv_head", "8"},
                                         {"model.n_embd", "1024"},
                                         {"model.block_size", "4096"},
                                         {"model.vocab_size", "151936"},
                                         {"model.mlp_width", "3072"},
                                         {NULL, NULL}}},
    {"qwen3-1.7b", (const PresetValue[]){{"model.n_layer", "28"},
                                         {"model.n_head", "16"},
                                         {"model.n_kv_head", "8"},
                                         {"model.n_embd", "2048"},
                                         {"model.block_size", "4096"},
                                         {"model.vocab_size", "151936"},
                                         {"model.mlp_width", "6144"},
                                         {NULL, NULL}}},
    {NULL, NULL},
};

const ModelFamily qwen3_family = {
    .name = "qwen3",
    .title = "Qwen3",
    .layers = layers,
    .presets = presets,
    .parameters = llama_parameters,
    .hugging_face_prefix = LLAMA_PREFIX,
    .hugging_face_ignored = llama_buffers,
};
