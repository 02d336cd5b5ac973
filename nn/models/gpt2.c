#include "nn/models/gpt2.h"

#define SIZES(layers, heads, channels)                                                             \
    (const PresetValue[]) {                                                                        \
        {"model.n_layer", layers}, {"model.n_head", heads}, {"model.n_embd", channels},            \
            {"model.block_size", "1024"}, {"model.vocab_size", "50257"}, {                         \
            NULL, NULL                                                                             \
        }                                                                                          \
    }

static const ModelPreset presets[] = {
    {"gpt2", SIZES("12", "12", "768")},
    {"gpt2-medium", SIZES("24", "16", "1024")},
    {"gpt2-large", SIZES("36", "20", "1280")},
    {"gpt2-xl", SIZES("48", "25", "1600")},
    {NULL, NULL},
};

/* The defaults of the config. */
static const PresetValue layers[] = {{NULL, NULL}};

#define SIZE(field) offsetof(ModelConfig, field)

/* Hugging Face's linear layers are Conv1D. */
static const ParameterNames names[] = {
    {.name = "wte.weight", .sizes = {SIZE(V), SIZE(C)}},
    {.name = "wpe.weight", .sizes = {SIZE(T), SIZE(C)}},
    {.name = "h.#.ln_1.weight"},
    {.name = "h.#.ln_1.bias"},
    {.name = "h.#.attn.c_attn.weight", .is_transposed = true},
    {.name = "h.#.attn.c_attn.bias"},
    {.name = "h.#.attn.c_proj.weight", .is_transposed = true},
    {.name = "h.#.attn.c_proj.bias"},
    {.name = "h.#.ln_2.weight"},
    {.name = "h.#.ln_2.bias"},
    {.name = "h.#.mlp.c_fc.weight", .is_transposed = true},
    {.name = "h.#.mlp.c_fc.bias"},
    {.name = "h.#.mlp.c_proj.weight", .is_transposed = true},
    {.name = "h.#.mlp.c_proj.bias"},
    {.name = "ln_f.weight"},
    {.name = "ln_f.bias"},
};

/* The causal mask, which some versions of `transformers` save with the weights. */
static const char *const buffers[] = {".attn.bias", ".attn.masked_bias", NULL};

const ModelFamily gpt2_family = {
    .name = "gpt2",
    .title = "GPT-2",
    .layers = layers,
    .presets = presets,
    .parameters = names,
    .n_parameters = sizeof names / sizeof *names,
    .hugging_face_prefix = "transformer.",
    .hugging_face_ignored = buffers,
};

bool gpt2_describes(const ModelConfig *config) {
    ModelConfig c = model_config_complete(*config), plain = {MODEL_CONFIG_DEFAULTS};
    plain.NH = c.NH, plain.C = c.C;
    plain = model_config_complete(plain);
    return c.norm == MODEL_LAYERNORM && c.norm_weight && c.norm_eps == plain.norm_eps &&
           c.NH_kv == plain.NH_kv && c.HS == plain.HS && c.F == plain.F && c.mlp == MLP_GELU &&
           c.qkv_bias == QKV_BIAS_AUTO && c.position == POSITION_LEARNED &&
           c.block == BLOCK_SEQUENTIAL && !c.qk_norm && layer_pattern_is_zero(&c.window) &&
           layer_pattern_is_zero(&c.value_embeddings) && c.attention_scale == 0 &&
           c.tie_embeddings && c.logit_softcap == 0 && !c.embedding_norm && !c.residual_scalars;
}
