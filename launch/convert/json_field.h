/* A field of config.json and the member of ModelConfig that it gives. Not collective. */
#pragma once

#include "core/status.h"
#include "nn/model_config.h"

#include <jansson.h>
#include <stddef.h>

typedef struct JsonField JsonField;

/* read: sets the member, or checks a value that has no member; `config` is the whole object.
 * Errors: STATUS_DATA, "FIELD is VALUE; WHAT WAS EXPECTED". write: a new reference, NULL if the
 * field is left out; a rule without it is only read. */
typedef struct JsonRule {
    Status (*read)(const JsonField *field, const json_t *config, const json_t *value,
                   ModelConfig *model);
    json_t *(*write)(const JsonField *field, const ModelConfig *model);
} JsonRule;

struct JsonField {
    const char *name;
    const JsonRule *rule;
    size_t member;      /* of ModelConfig */
    const char *text;   /* the argument of some rules */
    const char *absent; /* the value of a missing field, as JSON; NULL: the member stays */
    bool is_required;   /* the member must be known in the end */
    bool is_alias;      /* another name: read, not written */
};

/* The error of a bad value, which is printed as JSON, truncated. */
NODISCARD Status json_field_error(const char *name, const json_t *value, const char *wanted);

/* Whether a value says that its feature is off: null, false, 0 or empty. */
bool json_is_unset(const json_t *value);

extern const JsonRule
    json_count,         /* a whole number from 1; must agree with a member that is known already */
    json_count_or_null, /* null leaves the member alone */
    json_positive,      /* a positive number */
    json_flag,          /* true or false */
    json_any_flag,      /* true or false, without effect */
    json_constant,      /* the number, flag or string that `text` says as JSON */
    json_unset,         /* of no use in this family */
    json_class,         /* architectures: classes whose names begin as `text` does */
    json_gelu,          /* GPT-2's activation */
    json_gate,          /* the activation of a gated MLP */
    json_biases,        /* attention_bias: of all linear layers */
    json_same_biases,   /* mlp_bias: must be what attention_bias is */
    json_window,        /* Mistral's sliding_window */
    json_uses_window, json_window_width, json_window_first, /* Qwen's fields, */
    json_window_layers,                                     /* and layer_types, which joins them */
    json_rope_scaling,                                      /* transformers 4 */
    json_rope_parameters;                                   /* transformers 5 */
