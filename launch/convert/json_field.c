#include "launch/convert/json_field.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
enum { LARGEST = 1 << 24 };

Status json_field_error(const char *name, const json_t *value, const char *wanted) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    Status status =
        ERROR(STATUS_DATA, "%.100s is %.60s; %s", name, text == NULL ? "?" : text, wanted);
    free(text);
    return status;
}

bool json_is_unset(const json_t *value) {
    return json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static void *member_of(const JsonField *field, ModelConfig *model) {
    return (char *)model + field->member;
}

static const void *value_of(const JsonField *field, const ModelConfig *model) {
    return (const char *)model + field->member;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static Status count_read(const JsonField *field, const json_t *config, const json_t *value,
                         ModelConfig *model) {
    char wanted[80];
    int64_t *member = member_of(field, model), size = json_integer_value(value);
    (void)config;
    if (!json_is_integer(value) || size < 1 || size > LARGEST)
        return json_field_error(field->name, value, "expected was a whole number from 1");
    if (*member != 0 && *member != size) {
        bool is_heads = field->member == offsetof(ModelConfig, NH);
        snprintf(wanted, sizeof wanted,
                 is_heads ? "expected were %lld heads" : "the weights ask for %lld",
                 (long long)*member);
        return json_field_error(field->name, value, wanted);
    }
    *member = size;
    return OK;
}

static json_t *count_write(const JsonField *field, const ModelConfig *model) {
    return json_integer(*(const int64_t *)value_of(field, model));
}

const JsonRule json_count = {count_read, count_write};

static Status count_or_null_read(const JsonField *field, const json_t *config, const json_t *value,
                                 ModelConfig *model) {
    return json_is_null(value) ? OK : count_read(field, config, value, model);
}

const JsonRule json_count_or_null = {count_or_null_read, count_write};

static Status real_read(const JsonField *field, const json_t *config, const json_t *value,
                        ModelConfig *model) {
    (void)config;
    if (!json_is_number(value) || !(json_number_value(value) > 0))
        return json_field_error(field->name, value, "expected was a positive number");
    double *member = member_of(field, model);
    if (field->is_alias && json_number_value(value) != *member)
        return json_field_error(field->name, value, "the field for it has another value");
    *member = json_number_value(value);
    return OK;
}

static json_t *real_write(const JsonField *field, const ModelConfig *model) {
    return json_real(*(const double *)value_of(field, model));
}

const JsonRule json_positive = {real_read, real_write};

/* ---- flags and constants --------------------------------------------------------------------- */

static Status any_flag_read(const JsonField *field, const json_t *config, const json_t *value,
                            ModelConfig *model) {
    (void)config, (void)model;
    return json_is_boolean(value)
               ? OK
               : json_field_error(field->name, value, "expected was true or false");
}

const JsonRule json_any_flag = {any_flag_read, NULL};

static Status flag_read(const JsonField *field, const json_t *config, const json_t *value,
                        ModelConfig *model) {
    TRY(any_flag_read(field, config, value, model));
    *(bool *)member_of(field, model) = json_is_true(value);
    return OK;
}

static json_t *flag_write(const JsonField *field, const ModelConfig *model) {
    return json_boolean(*(const bool *)value_of(field, model));
}

const JsonRule json_flag = {flag_read, flag_write};

static json_t *constant_write(const JsonField *field, const ModelConfig *model) {
    (void)model;
    return json_loads(field->text, JSON_DECODE_ANY, NULL);
}

/* 1 and 1.0 are the same number. */
static bool is_same(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

static Status constant_read(const JsonField *field, const json_t *config, const json_t *value,
                            ModelConfig *model) {
    char wanted[80];
    (void)config;
    json_t *expected = constant_write(field, model);
    bool same = is_same(value, expected);
    json_decref(expected);
    if (same) return OK;
    snprintf(wanted, sizeof wanted, "this model computes with %s alone", field->text);
    return json_field_error(field->name, value, wanted);
}

const JsonRule json_constant = {constant_read, constant_write};

static Status unset_read(const JsonField *field, const json_t *config, const json_t *value,
                         ModelConfig *model) {
    (void)config, (void)model;
    return json_is_unset(value)
               ? OK
               : json_field_error(field->name, value, "this family has nothing of that kind");
}

const JsonRule json_unset = {unset_read, NULL};

/* ---- names ----------------------------------------------------------------------------------- */

/* GPT2LMHeadModel: GPT2; LlamaForCausalLM: Llama. */
static size_t class_prefix(const char *name) {
    const char *end = strstr(name, "For");
    if (end == NULL) end = strstr(name, "LMHead");
    return end == NULL ? strlen(name) : (size_t)(end - name);
}

static Status class_read(const JsonField *field, const json_t *config, const json_t *value,
                         ModelConfig *model) {
    size_t i, prefix = class_prefix(field->text);
    char wanted[120];
    json_t *name;
    (void)model;
    bool fits = json_is_array(value) || json_is_null(value);
    json_array_foreach(value, i, name) {
        fits = fits && json_is_string(name) &&
               strncmp(json_string_value(name), field->text, prefix) == 0;
    }
    if (fits) return OK;
    const char *type = json_string_value(json_object_get(config, "model_type"));
    snprintf(wanted, sizeof wanted, "expected was [\"%.*s...\"] for model_type \"%.20s\"",
             (int)prefix, field->text, type == NULL ? "gpt2" : type);
    return json_field_error(field->name, value, wanted);
}

static json_t *class_write(const JsonField *field, const ModelConfig *model) {
    (void)model;
    return json_pack("[s]", field->text);
}

const JsonRule json_class = {class_read, class_write};

static bool is_one_of(const json_t *value, const char *const *names, size_t n) {
    for (size_t i = 0; json_is_string(value) && i < n; i++) {
        if (strcmp(names[i], json_string_value(value)) == 0) return true;
    }
    return false;
}

/* Names of one formula; "gelu" is the exact one. */
static bool is_tanh_gelu(const json_t *value) {
    static const char *const names[] = {"gelu_new", "gelu_pytorch_tanh", "gelu_fast",
                                        "gelu_accurate"};
    return is_one_of(value, names, COUNT(names));
}

static Status gelu_read(const JsonField *field, const json_t *config, const json_t *value,
                        ModelConfig *model) {
    (void)config, (void)model;
    return is_tanh_gelu(value)
               ? OK
               : json_field_error(field->name, value, "this model computes \"gelu_new\"");
}

static json_t *gelu_write(const JsonField *field, const ModelConfig *model) {
    (void)field, (void)model;
    return json_string("gelu_new");
}

const JsonRule json_gelu = {gelu_read, gelu_write};

static Status gate_read(const JsonField *field, const json_t *config, const json_t *value,
                        ModelConfig *model) {
    static const char *const silu[] = {"silu", "swish"};
    (void)config;
    model->mlp = is_tanh_gelu(value) ? MLP_GEGLU : MLP_SWIGLU;
    if (model->mlp == MLP_GEGLU || is_one_of(value, silu, COUNT(silu))) return OK;
    return json_field_error(field->name, value, "expected was \"silu\" or \"gelu_pytorch_tanh\"");
}

static json_t *gate_write(const JsonField *field, const ModelConfig *model) {
    (void)field;
    return json_string(model->mlp == MLP_GEGLU ? "gelu_pytorch_tanh" : "silu");
}

const JsonRule json_gate = {gate_read, gate_write};

/* ---- biases ---------------------------------------------------------------------------------- */

static Status same_biases_read(const JsonField *field, const json_t *config, const json_t *value,
                               ModelConfig *model) {
    TRY(any_flag_read(field, config, value, model));
    if (json_is_true(value) == model->bias) return OK;
    return json_field_error(field->name, value,
                            model->bias ? "attention_bias is true, and a model here has biases in "
                                          "both or in neither"
                                        : "attention_bias is false, and a model here has biases in "
                                          "both or in neither");
}

const JsonRule json_biases = {flag_read, flag_write};
const JsonRule json_same_biases = {same_biases_read, flag_write};
