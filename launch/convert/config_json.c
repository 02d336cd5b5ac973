#include "launch/convert/config_json.h"

#include "core/base/escape.h"
#include "launch/base/text_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define EPSILON 1e-5 /* of nn/layers.c */

/* The required value of a field. */
typedef struct Expected {
    ModelConfig size;
    int64_t inner, head_size; /* 4 C, C / NH */
} Expected;

typedef enum Rule {
    RULE_SIZE, /* a member of Expected */
    RULE_SIZE_OR_NULL,
    RULE_BOOL, /* true or false */
    RULE_TRUE,
    RULE_FALSE,
    RULE_FAMILY,  /* "gpt2" */
    RULE_CLASSES, /* names of GPT-2's classes */
    RULE_GELU,    /* a name of the tanh GELU */
    RULE_EPSILON,
    RULE_POSITIONS, /* "absolute" */
    RULE_UNSET,     /* null, false, zero or empty */
} Rule;

typedef struct JsonField {
    const char *name;
    Rule rule;
    size_t member; /* of Expected */
} JsonField;

#define SIZE(member) RULE_SIZE, offsetof(Expected, member)
#define SIZE_OR_NULL(member) RULE_SIZE_OR_NULL, offsetof(Expected, member)

/* The fields of the family come first, because they say most about a model of another one. */
static const JsonField fields[] = {
    {"model_type", RULE_FAMILY, 0},
    {"architectures", RULE_CLASSES, 0},
    {"auto_map", RULE_UNSET, 0}, /* code in the model's repository */
    {"n_embd", SIZE(size.C)},
    {"hidden_size", SIZE(size.C)},
    {"n_head", SIZE(size.NH)},
    {"num_attention_heads", SIZE(size.NH)},
    {"n_layer", SIZE(size.L)},
    {"num_hidden_layers", SIZE(size.L)},
    {"vocab_size", SIZE(size.V)},
    {"n_positions", SIZE(size.T)},
    {"n_ctx", SIZE(size.T)},
    {"max_position_embeddings", SIZE(size.T)},
    {"n_inner", SIZE_OR_NULL(inner)},
    {"intermediate_size", SIZE_OR_NULL(inner)},
    {"head_dim", SIZE_OR_NULL(head_size)},
    {"num_key_value_heads", SIZE_OR_NULL(size.NH)},
    {"activation_function", RULE_GELU, 0},
    {"hidden_act", RULE_GELU, 0},
    {"layer_norm_epsilon", RULE_EPSILON, 0},
    {"layer_norm_eps", RULE_EPSILON, 0},
    {"scale_attn_weights", RULE_TRUE, 0},
    {"scale_attn_by_inverse_layer_idx", RULE_FALSE, 0},
    {"reorder_and_upcast_attn", RULE_BOOL, 0}, /* the same mathematics */
    {"tie_word_embeddings", RULE_BOOL, 0},
    {"add_cross_attention", RULE_FALSE, 0},
    {"is_encoder_decoder", RULE_FALSE, 0},
    {"is_decoder", RULE_BOOL, 0}, /* GPT-2 has one anyway */
    {"pruned_heads", RULE_UNSET, 0},
    {"position_embedding_type", RULE_POSITIONS, 0},
};

/* Fields of other families. */
static const char *const foreign[] = {"quantization*",
                                      "compression_config",
                                      "alibi*",
                                      "attention_head_type",
                                      "attention_layers",
                                      "attention_multiplier",
                                      "attention_types",
                                      "attn_logit_softcapping",
                                      "embedding_multiplier",
                                      "final_logit_softcapping",
                                      "layer_types",
                                      "logit_scale",
                                      "logits_scaling",
                                      "moe*",
                                      "multi_query",
                                      "mup*",
                                      "num_experts*",
                                      "num_local_experts",
                                      "parallel_attn",
                                      "partial_rotary_factor",
                                      "qk_layernorm",
                                      "qk_norm",
                                      "query_pre_attn_scalar",
                                      "residual_multiplier",
                                      "rms_norm_eps",
                                      "rope*",
                                      "rotary*",
                                      "sliding_window*",
                                      "use_alibi",
                                      "use_parallel_residual",
                                      "use_qk_norm",
                                      "use_sliding_window",
                                      "window_size"};

/* Fields of training, generation, outputs and metadata. */
static const char *const harmless[] = {"_*",
                                       "attn_implementation",
                                       "attn_pdrop",
                                       "bad_words_ids",
                                       "begin_suppress_tokens",
                                       "bos_token_id",
                                       "chunk_size_feed_forward",
                                       "cross_attention_hidden_size",
                                       "decoder_start_token_id",
                                       "diversity_penalty",
                                       "do_sample",
                                       "dtype",
                                       "early_stopping",
                                       "embd_pdrop",
                                       "encoder_no_repeat_ngram_size",
                                       "eos_token_id",
                                       "exponential_decay_length_penalty",
                                       "finetuning_task",
                                       "forced_bos_token_id",
                                       "forced_eos_token_id",
                                       "gradient_checkpointing",
                                       "id2label",
                                       "initializer_range",
                                       "label2id",
                                       "length_penalty",
                                       "max_length",
                                       "min_length",
                                       "no_repeat_ngram_size",
                                       "num_beam_groups",
                                       "num_beams",
                                       "num_labels",
                                       "num_return_sequences",
                                       "output_*",
                                       "pad_token_id",
                                       "prefix",
                                       "problem_type",
                                       "remove_invalid_values",
                                       "repetition_penalty",
                                       "resid_pdrop",
                                       "return_dict*",
                                       "sep_token_id",
                                       "summary_*",
                                       "suppress_tokens",
                                       "task_specific_params",
                                       "temperature",
                                       "tf_legacy_loss",
                                       "tie_encoder_decoder",
                                       "tokenizer_class",
                                       "top_k",
                                       "top_p",
                                       "torch_dtype",
                                       "torchscript",
                                       "transformers_version",
                                       "typical_p",
                                       "use_bfloat16",
                                       "use_cache"};

enum { N_FIELDS = COUNT(fields), N_FAMILY = 3 };

static const JsonField *field_find(const char *name) {
    for (int i = 0; i < N_FIELDS; i++) {
        if (strcmp(fields[i].name, name) == 0) return &fields[i];
    }
    return NULL;
}

/* A * at the end of a name matches all names with this prefix. */
static bool is_among(const char *name, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(names[i]) - 1;
        bool is_open = names[i][length] == '*';
        if (is_open ? strncmp(names[i], name, length) == 0 : strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* ---- a field --------------------------------------------------------------------------------- */

/* "FIELD is VALUE; ...", with the value as JSON, truncated. The callers in this file prepend the
 * path. */
static Status bad(const char *name, const json_t *value, const char *wanted) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    Status status =
        ERROR(STATUS_DATA, "%.100s is %.60s; %s", name, text == NULL ? "?" : text, wanted);
    free(text);
    return status;
}

static Status size_check(const JsonField *field, const json_t *value, const Expected *expected) {
    char wanted[80];
    int64_t size;
    memcpy(&size, (const char *)expected + field->member, sizeof size);
    if (json_is_integer(value) && json_integer_value(value) == size) return OK;
    bool is_heads = field->member == offsetof(Expected, size.NH);
    snprintf(wanted, sizeof wanted,
             is_heads ? "expected were %lld heads" : "the weights ask for %lld", (long long)size);
    return bad(field->name, value, wanted);
}

/* GPT-2's activation and other names of the same formula; "gelu" is the exact one. */
static bool is_tanh_gelu(const char *name) {
    static const char *const names[] = {"gelu_new", "gelu_pytorch_tanh", "gelu_fast",
                                        "gelu_accurate"};
    for (size_t i = 0; name != NULL && i < COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) return true;
    }
    return false;
}

static bool is_text(const json_t *value, const char *text) {
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

static bool is_unset(const json_t *value) {
    return json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static bool are_classes(const json_t *value) {
    size_t i;
    json_t *name;
    json_array_foreach(value, i, name) {
        if (!json_is_string(name) || strncmp(json_string_value(name), "GPT2", 4) != 0) return false;
    }
    return json_is_array(value) || json_is_null(value);
}

static Status field_check(const JsonField *field, const json_t *value, const Expected *expected) {
    const char *name = field->name;
    switch (field->rule) {
    case RULE_SIZE_OR_NULL: return json_is_null(value) ? OK : size_check(field, value, expected);
    case RULE_SIZE: return size_check(field, value, expected);
    case RULE_BOOL:
        return json_is_boolean(value) ? OK : bad(name, value, "expected was true or false");
    case RULE_TRUE:
        return json_is_true(value) ? OK : bad(name, value, "this model computes with true alone");
    case RULE_FALSE:
        return json_is_false(value) ? OK : bad(name, value, "this model computes with false alone");
    case RULE_FAMILY:
        return is_text(value, "gpt2") ? OK : bad(name, value, "this model is a \"gpt2\"");
    case RULE_CLASSES:
        return are_classes(value) ? OK : bad(name, value, "expected were GPT-2's, [\"GPT2...\"]");
    case RULE_GELU:
        return is_tanh_gelu(json_string_value(value))
                   ? OK
                   : bad(name, value, "this model computes \"gelu_new\"");
    case RULE_EPSILON:
        if (json_is_real(value) && (float)json_real_value(value) == (float)EPSILON) return OK;
        return bad(name, value, "this model computes with 1e-05");
    case RULE_POSITIONS:
        return is_text(value, "absolute") ? OK
                                          : bad(name, value, "positions are \"absolute\" here");
    case RULE_UNSET:
        return is_unset(value) ? OK : bad(name, value, "GPT-2 has nothing of that kind");
    }
    return OK;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Checks fields [first, last) of the table, at any position in the config. */
static Status fields_check(const json_t *config, int first, int last, const Expected *expected) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)config, name, value) {
        const JsonField *field = field_find(name);
        if (field != NULL && field - fields >= first && field - fields < last) {
            TRY(field_check(field, value, expected));
        }
        if (is_among(name, foreign, COUNT(foreign)) && !is_unset(value)) {
            return bad(name, value, "GPT-2 has nothing of that kind");
        }
    }
    return OK;
}

static Status family_check(const json_t *config) {
    if (!json_is_object(config)) return ERROR(STATUS_DATA, "is no JSON object");
    return fields_check(config, 0, N_FAMILY, NULL);
}

Status config_json_read(const char *path, json_t **out) {
    TRY(text_file_read_json(path, out));
    if (*out == NULL) return OK;
    Status status = family_check(*out);
    if (!failed(status)) return OK;
    json_decref(*out);
    *out = NULL;
    return status_prefixed(status, "%s", path);
}

Status config_json_heads(const char *path, const json_t *config, int64_t *out) {
    const char *name = "n_head";
    const json_t *value = json_object_get(config, name);
    if (value == NULL) value = json_object_get(config, name = "num_attention_heads");
    *out = json_integer_value(value);
    if (value == NULL || *out >= 1) return OK;
    return status_prefixed(bad(name, value, "expected was a whole number from 1"), "%s", path);
}

Status config_json_check(const char *path, const json_t *config, const ModelConfig *model) {
    Expected expected = {*model, 4 * model->C, model->C / model->NH};
    Status status = fields_check(config, 0, N_FIELDS, &expected);
    return failed(status) ? status_prefixed(status, "%s", path) : OK;
}

Status config_json_check_whole(const char *path, const json_t *config) {
    static const char *const names[] = {"model_type", "vocab_size", "n_positions",
                                        "n_embd",     "n_layer",    "n_head"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (json_object_get(config, names[i]) == NULL)
            return ERROR(STATUS_DATA, "%s: has no %s", path, names[i]);
    }
    if (!config_json_is_tied(config))
        return ERROR(STATUS_DATA, "%s: tie_word_embeddings is false", path);
    return OK;
}

bool config_json_is_tied(const json_t *config) {
    return !json_is_false(json_object_get(config, "tie_word_embeddings"));
}

bool config_json_unknown(const json_t *config, char *out, size_t capacity) {
    const char *name;
    char shown[64];
    size_t used = 0;
    json_t *value;
    json_object_foreach((json_t *)config, name, value) {
        bool is_known = field_find(name) != NULL || is_among(name, foreign, COUNT(foreign)) ||
                        is_among(name, harmless, COUNT(harmless));
        if (is_known || used >= capacity) continue;
        escape_text(name, shown, sizeof shown);
        used += (size_t)snprintf(out + used, capacity - used, "%s%s", used > 0 ? ", " : "", shown);
    }
    return used > 0;
}
