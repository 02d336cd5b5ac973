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

/* In llm.c's order, with an lm_head at the end. Hugging Face's linear layers are Conv1D. */
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
    {.name = "h.#.mlp.c_fc.weight", .is_transposed = true, .sizes = {SIZE(C), SIZE(F)}},
    {.name = "h.#.mlp.c_fc.bias"},
    {.name = "h.#.mlp.c_proj.weight", .is_transposed = true},
    {.name = "h.#.mlp.c_proj.bias"},
    {.name = "ln_f.weight"},
    {.name = "ln_f.bias"},
    {.name = "lm_head.weight", .has_no_prefix = true},
    {.name = NULL},
};

/* The causal mask, which some versions of `transformers` save with the weights. */
static const char *const buffers[] = {".attn.bias", ".attn.masked_bias", NULL};

const ModelFamily gpt2_family = {
    .name = "gpt2",
    .title = "GPT-2",
    .layers = layers,
    .presets = presets,
    .parameters = names,
    .hugging_face_prefix = "transformer.",
    .hugging_face_ignored = buffers,
};
