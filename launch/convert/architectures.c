#include "launch/convert/architectures.h"

#include "launch/convert/model_keys.h"
#include "nn/models/gpt2.h"
#include "nn/models/llama.h"
#include "nn/models/mistral.h"
#include "nn/models/qwen2.h"
#include "nn/models/qwen3.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- tables ---------------------------------------------------------------------------------- */

#define AT(member) offsetof(ModelConfig, member)
#define SIZE(field, size)                                                                          \
    { .name = field, .rule = &json_count, .member = AT(size), .is_required = true }
#define ALIAS(field, size)                                                                         \
    { .name = field, .rule = &json_count, .member = AT(size), .is_alias = true }
#define CONSTANT(field, value)                                                                     \
    { .name = field, .rule = &json_constant, .text = value }
#define MUST_BE(field, value)                                                                      \
    { .name = field, .rule = &json_constant, .text = value, .is_alias = true }
#define UNSET(field)                                                                               \
    { .name = field, .rule = &json_unset }
#define CLASS(value)                                                                               \
    { .name = "architectures", .rule = &json_class, .text = value }
#define FLAG(field, at, value)                                                                     \
    { .name = field, .rule = &json_flag, .member = AT(at), .absent = value }
#define REAL(field, at, value)                                                                     \
    { .name = field, .rule = &json_positive, .member = AT(at), .absent = value }
#define END                                                                                        \
    { .name = NULL }

/* The defaults are those of transformers' classes; a size has none. */
static const JsonField gpt2_fields[] = {
    CONSTANT("model_type", "\"gpt2\""),
    CLASS("GPT2LMHeadModel"),
    UNSET("auto_map"), /* code in the model's repository */
    {.name = "activation_function", .rule = &json_gelu},
    {.name = "hidden_act", .rule = &json_gelu, .is_alias = true},
    REAL("layer_norm_epsilon", norm_eps, "1e-5"),
    {.name = "layer_norm_eps", .rule = &json_positive, .member = AT(norm_eps), .is_alias = true},
    SIZE("vocab_size", V),
    SIZE("n_positions", T),
    {.name = "n_ctx", .rule = &json_count, .member = AT(T)},
    ALIAS("max_position_embeddings", T),
    SIZE("n_embd", C),
    ALIAS("hidden_size", C),
    SIZE("n_layer", L),
    ALIAS("num_hidden_layers", L),
    SIZE("n_head", NH),
    ALIAS("num_attention_heads", NH),
    {.name = "n_inner", .rule = &json_count_or_null, .member = AT(F)},
    {.name = "intermediate_size", .rule = &json_count_or_null, .member = AT(F), .is_alias = true},
    FLAG("tie_word_embeddings", tie_embeddings, "true"),
    MUST_BE("scale_attn_weights", "true"),
    MUST_BE("scale_attn_by_inverse_layer_idx", "false"),
    {.name = "reorder_and_upcast_attn", .rule = &json_any_flag}, /* the same mathematics */
    MUST_BE("add_cross_attention", "false"),
    MUST_BE("is_encoder_decoder", "false"),
    {.name = "is_decoder", .rule = &json_any_flag}, /* GPT-2 is one anyway */
    UNSET("pruned_heads"),
    MUST_BE("position_embedding_type", "\"absolute\""),
    END,
};

#define DECODER(type, class)                                                                       \
    CONSTANT("model_type", type), CLASS(class), UNSET("auto_map"), SIZE("vocab_size", V),          \
        SIZE("hidden_size", C), SIZE("intermediate_size", F), SIZE("num_hidden_layers", L),        \
        SIZE("num_attention_heads", NH), SIZE("max_position_embeddings", T),                       \
        {.name = "hidden_act", .rule = &json_gate, .absent = "\"silu\""},                          \
        REAL("rms_norm_eps", norm_eps, "1e-6"),                                                    \
        FLAG("tie_word_embeddings", tie_embeddings, "false"),                                      \
        REAL("rope_theta", rope.base, "10000"),                                                    \
        {.name = "rope_scaling", .rule = &json_rope_scaling},                                      \
        {.name = "rope_parameters", .rule = &json_rope_parameters},                                \
        MUST_BE("partial_rotary_factor", "1.0"), MUST_BE("is_encoder_decoder", "false"),           \
        MUST_BE("add_cross_attention", "false"), UNSET("pruned_heads")
#define KEY_HEADS                                                                                  \
    { .name = "num_key_value_heads", .rule = &json_count_or_null, .member = AT(NH_kv) }
#define HEAD_DIM                                                                                   \
    { .name = "head_dim", .rule = &json_count_or_null, .member = AT(HS) }
#define QWEN_WINDOWS                                                                               \
    {.name = "use_sliding_window", .rule = &json_uses_window},                                     \
        {.name = "sliding_window", .rule = &json_window_width},                                    \
        {.name = "max_window_layers", .rule = &json_window_first}, {                               \
        .name = "layer_types", .rule = &json_window_layers, .absent = "null"                       \
    }

static const JsonField llama_fields[] = {
    DECODER("\"llama\"", "LlamaForCausalLM"),
    KEY_HEADS,
    HEAD_DIM,
    {.name = "attention_bias", .rule = &json_biases, .member = AT(bias), .absent = "false"},
    {.name = "mlp_bias", .rule = &json_same_biases, .member = AT(bias), .absent = "false"},
    END,
};

static const JsonField mistral_fields[] = {
    DECODER("\"mistral\"", "MistralForCausalLM"),
    {.name = "num_key_value_heads",
     .rule = &json_count_or_null,
     .member = AT(NH_kv),
     .absent = "8"},
    HEAD_DIM,
    {.name = "sliding_window", .rule = &json_window, .absent = "4096"},
    END,
};

static const JsonField qwen2_fields[] = {
    DECODER("\"qwen2\"", "Qwen2ForCausalLM"),
    {.name = "num_key_value_heads",
     .rule = &json_count_or_null,
     .member = AT(NH_kv),
     .absent = "32"},
    HEAD_DIM,
    QWEN_WINDOWS,
    END,
};

static const JsonField qwen3_fields[] = {
    DECODER("\"qwen3\"", "Qwen3ForCausalLM"),
    {.name = "num_key_value_heads",
     .rule = &json_count_or_null,
     .member = AT(NH_kv),
     .absent = "32"},
    {.name = "head_dim", .rule = &json_count, .member = AT(HS), .absent = "128"},
    CONSTANT("attention_bias", "false"),
    QWEN_WINDOWS,
    END,
};

#define DECODER_LAYERS                                                                             \
    .norm = MODEL_RMSNORM, .position = POSITION_ROPE, .mlp = MLP_SWIGLU, .norm_weight = true,      \
    .rope = ROPE_OPTIONS_DEFAULTS, .qk_norm_weight = true, .embedding_std = 0.02,                  \
    .linear_std = 0.02

static const Architecture gpt2 = {
    &gpt2_family, {MODEL_CONFIG_DEFAULTS}, gpt2_fields, .is_sized_by_weights = true};
static const Architecture llama = {&llama_family, {DECODER_LAYERS}, llama_fields, false};
static const Architecture mistral = {&mistral_family, {DECODER_LAYERS}, mistral_fields, false};
static const Architecture qwen2 = {
    &qwen2_family, {DECODER_LAYERS, .qkv_bias = QKV_BIAS_TRUE}, qwen2_fields, false};
static const Architecture qwen3 = {
    &qwen3_family, {DECODER_LAYERS, .qk_norm = true}, qwen3_fields, false};

const Architecture *const architectures[] = {&gpt2, &llama, &mistral, &qwen2, &qwen3, NULL};

const Architecture *architecture_find(const char *model_type) {
    for (const Architecture *const *a = architectures; *a != NULL; a++) {
        if (strcmp((*a)->family->name, model_type) == 0) return *a;
    }
    return NULL;
}

const JsonField *architecture_field(const Architecture *architecture, const char *name) {
    for (const JsonField *field = architecture->fields; field->name != NULL; field++) {
        if (strcmp(field->name, name) == 0) return field;
    }
    return NULL;
}

/* ---- config.json ----------------------------------------------------------------------------- */

static Status field_read(const JsonField *field, const json_t *config, ModelConfig *model) {
    json_t *value = json_object_get(config, field->name);
    if (value != NULL) return field->rule->read(field, config, value, model);
    if (field->absent == NULL) return OK;
    value = json_loads(field->absent, JSON_DECODE_ANY, NULL);
    Status status = field->rule->read(field, config, value, model);
    json_decref(value);
    return status;
}

/* from_pretrained would take the class's default for a missing size. */
static Status required_check(const Architecture *architecture, const ModelConfig *model) {
    for (const JsonField *field = architecture->fields; field->name != NULL; field++) {
        const int64_t *size = (const void *)((const char *)model + field->member);
        if (!field->is_required || *size != 0) continue;
        bool is_heads = field->member == offsetof(ModelConfig, NH);
        return ERROR(STATUS_DATA, "has no %s%s", field->name,
                     is_heads ? "; add it, or set --heads" : "");
    }
    return OK;
}

static Status heads_check(const Architecture *architecture, const json_t *config,
                          const ModelConfig *model) {
    const JsonField *field = architecture->fields;
    if (model->HS != 0 || (model->NH > 0 && model->C % model->NH == 0)) return OK;
    while (field->member != offsetof(ModelConfig, NH)) field++;
    return json_field_error(field->name, json_object_get(config, field->name),
                            "it does not divide the channels");
}

Status architecture_read(const Architecture *architecture, const json_t *config,
                         ModelConfig *model) {
    const ModelConfig sizes = *model;
    *model = architecture->layers;
    model->V = sizes.V, model->T = sizes.T, model->C = sizes.C;
    model->L = sizes.L, model->NH = sizes.NH, model->F = sizes.F;
    for (const JsonField *field = architecture->fields; field->name != NULL; field++)
        TRY(field_read(field, config, model));
    TRY(required_check(architecture, model));
    return heads_check(architecture, config, model);
}

json_t *architecture_write(const Architecture *architecture, const ModelConfig *model) {
    json_t *config = json_object();
    for (const JsonField *field = architecture->fields; field->name != NULL; field++) {
        if (field->is_alias || field->rule->write == NULL) continue;
        if (json_object_set_new(config, field->name, field->rule->write(field, model)) == 0)
            continue;
        json_decref(config);
        return NULL;
    }
    return config;
}

/* The keys in which a model differs from what its config.json says. A model without biases is one
 * with zeros in a family that has them. */
static int lost_keys(const Architecture *architecture, const ModelConfig *model, const char **key) {
    json_t *config = architecture_write(architecture, model);
    ModelConfig again = {0}, wanted = *model;
    if (architecture->layers.bias) wanted.bias = true, wanted.qkv_bias = QKV_BIAS_AUTO;
    Status status = architecture_read(architecture, config, &again);
    json_decref(config);
    *key = NULL;
    return failed(status) ? INT_MAX : model_keys_differing(&wanted, &again, key);
}

Status architecture_of(const char *origin, const ModelConfig *model, const Architecture **out) {
    int least = INT_MAX;
    const char *lost = NULL;
    *out = architectures[0];
    for (const Architecture *const *a = architectures; *a != NULL; a++) {
        const char *key;
        int count = lost_keys(*a, model, &key);
        if (count >= least) continue;
        least = count;
        lost = key;
        *out = *a;
    }
    if (least == 0) return OK;
    char *value = lost == NULL ? NULL : model_key_text(lost, model);
    Status status = ERROR(
        STATUS_DATA, "%s: no class of Hugging Face that is known here has %s: %s (nearest is %s)",
        origin, lost == NULL ? "these sizes" : lost, value == NULL ? "?" : value,
        (*out)->family->title);
    free(value);
    return status;
}
