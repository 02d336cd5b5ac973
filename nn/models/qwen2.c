#include "nn/models/qwen2.h"

#include "nn/models/llama.h"

static const PresetValue layers[] = {
    {"model.bias", "false"},
    {"model.norm", "rmsnorm"},
    {"model.position", "rope"},
    {"model.mlp", "swiglu"},
    {"model.norm_eps", "1e-6"},
    {"model.qkv_bias", "true"},
    {NULL, NULL},
};

static const ModelPreset presets[] = {{NULL, NULL}};

const ModelFamily qwen2_family = {
    .name = "qwen2",
    .title = "Qwen2",
    .layers = layers,
    .presets = presets,
    .parameters = llama_parameters,
    .hugging_face_prefix = LLAMA_PREFIX,
    .hugging_face_ignored = llama_buffers,
};
