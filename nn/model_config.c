#include "nn/model_config.h"

int64_t layer_pattern_at(const LayerPattern *pattern, int64_t layer) {
    return pattern->count == 0 ? 0 : pattern->items[layer % pattern->count];
}

bool layer_pattern_is_zero(const LayerPattern *pattern) {
    for (int i = 0; i < pattern->count; i++) {
        if (pattern->items[i] != 0) return false;
    }
    return true;
}

bool model_mlp_is_gated(ModelMlp mlp) { return mlp == MLP_SWIGLU || mlp == MLP_GEGLU; }

int64_t model_mlp_width(ModelMlp mlp, int64_t C) {
    return model_mlp_is_gated(mlp) ? (8 * C + 191) / 192 * 64 : 4 * C;
}

ModelConfig model_config_complete(ModelConfig config) {
    if (config.NH_kv == 0) config.NH_kv = config.NH;
    if (config.HS == 0) config.HS = config.C / config.NH;
    if (config.qkv_bias == QKV_BIAS_AUTO)
        config.qkv_bias = config.bias ? QKV_BIAS_TRUE : QKV_BIAS_FALSE;
    if (config.F == 0) config.F = model_mlp_width(config.mlp, config.C);
    if (config.rope.original_positions == 0) config.rope.original_positions = config.T;
    return config;
}

int64_t model_qkv_columns(const ModelConfig *config) {
    return (config->NH + 2 * config->NH_kv) * config->HS;
}

int64_t model_conv_columns(const ModelConfig *config, ConvPlace place) {
    return place == CONV_QKV ? model_qkv_columns(config) : config->C;
}
