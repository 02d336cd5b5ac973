/* Scalings of rotary positions in config.json. Source: modeling_rope_utils.py of transformers 5. */
#include "launch/convert/json_field.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const types[] = {"default", "linear", "llama3", "yarn"}; /* as RopeScaling */

enum {
    LINEAR = 1 << ROPE_SCALING_LINEAR,
    LLAMA3 = 1 << ROPE_SCALING_LLAMA3,
    YARN = 1 << ROPE_SCALING_YARN
};

/* The options of each type. Others of this list have no effect. */
typedef struct RopeOption {
    JsonField field;
    int types;
    int required; /* by these types */
} RopeOption;

#define REAL(name, member)                                                                         \
    { name, &json_positive, offsetof(ModelConfig, rope.member), NULL, NULL, 0, 0 }
static const RopeOption options[] = {
    {REAL("factor", factor), LINEAR | LLAMA3 | YARN, LINEAR | LLAMA3},
    {REAL("low_freq_factor", low_freq_factor), LLAMA3, LLAMA3},
    {REAL("high_freq_factor", high_freq_factor), LLAMA3, LLAMA3},
    {{"original_max_position_embeddings", &json_count,
      offsetof(ModelConfig, rope.original_positions), NULL, NULL, 0, 0},
     LLAMA3 | YARN,
     0},
    {REAL("beta_fast", beta_fast), YARN, 0},
    {REAL("beta_slow", beta_slow), YARN, 0},
    {REAL("attention_factor", attention_factor), YARN, 0},
};

static Status type_read(const char *name, const json_t *value, RopeScaling *out) {
    for (size_t i = 0; json_is_string(value) && i < COUNT(types); i++) {
        *out = (RopeScaling)i;
        if (strcmp(json_string_value(value), types[i]) == 0) return OK;
    }
    return json_field_error(name, value, "expected was default, linear, llama3 or yarn");
}

static const RopeOption *option_find(const char *name) {
    for (size_t i = 0; i < COUNT(options); i++) {
        if (strcmp(options[i].field.name, name) == 0) return &options[i];
    }
    return NULL;
}

/* Fields that are no options of a type, and those that this project does not compute. */
static Status other_read(const char *full, const char *name, const json_t *value,
                         ModelConfig *model) {
    if (strcmp(name, "type") == 0 || strcmp(name, "rope_type") == 0) return OK;
    if (strcmp(name, "rope_theta") == 0) {
        JsonField base = REAL(full, base);
        return json_positive.read(&base, NULL, value, model);
    }
    bool is_one = json_is_number(value) && json_number_value(value) == 1;
    if (json_is_null(value) || (strcmp(name, "partial_rotary_factor") == 0 && is_one) ||
        (strcmp(name, "truncate") == 0 && json_is_true(value)))
        return OK;
    return json_field_error(full, value, "there is nothing of that kind here");
}

static Status option_read(const JsonField *object, const char *name, const json_t *value,
                          ModelConfig *model) {
    char full[160];
    snprintf(full, sizeof full, "%s.%s", object->name, name);
    const RopeOption *option = option_find(name);
    if (option == NULL) return other_read(full, name, value, model);
    if ((option->types & 1 << model->rope.scaling) == 0 || json_is_null(value)) return OK;
    JsonField field = option->field;
    field.name = full;
    return field.rule->read(&field, NULL, value, model);
}

static Status required_check(const JsonField *object, const json_t *value, RopeScaling scaling) {
    char wanted[80];
    for (size_t i = 0; i < COUNT(options); i++) {
        const char *name = options[i].field.name;
        json_t *given = json_object_get(value, name);
        if ((options[i].required & 1 << scaling) == 0 || (given != NULL && !json_is_null(given)))
            continue;
        snprintf(wanted, sizeof wanted, "it has no %s", name);
        return json_field_error(object->name, value, wanted);
    }
    return OK;
}

static Status options_read(const JsonField *field, const json_t *value, ModelConfig *model) {
    const char *name;
    json_t *option;
    RopeOptions *rope = &model->rope;
    json_object_foreach((json_t *)value, name, option) TRY(option_read(field, name, option, model));
    if (rope->scaling != ROPE_SCALING_NONE && rope->original_positions == 0)
        rope->original_positions = model->T;
    json_t *factor = json_object_get(value, "factor");
    if (rope->scaling == ROPE_SCALING_YARN && (factor == NULL || json_is_null(factor)))
        rope->factor = (double)model->T / (double)rope->original_positions;
    return required_check(field, value, rope->scaling);
}

static Status rope_read(const JsonField *field, const json_t *config, const json_t *value,
                        ModelConfig *model) {
    char name[80] = "";
    (void)config;
    if (json_is_unset(value)) return OK;
    if (!json_is_object(value))
        return json_field_error(field->name, value, "expected was an object");
    if (model->rope.scaling != ROPE_SCALING_NONE)
        return json_field_error(field->name, value, "rope_scaling is given, too");
    const json_t *type = json_object_get(value, "rope_type");
    snprintf(name, sizeof name, "%s.%s", field->name, type == NULL ? "type" : "rope_type");
    if (type == NULL) type = json_object_get(value, "type");
    if (type != NULL) TRY(type_read(name, type, &model->rope.scaling));
    json_t *factor = json_object_get(value, "factor");
    if (type == NULL && json_is_number(factor) && json_number_value(factor) != 1)
        return json_field_error(field->name, value, "it has a factor, but no rope_type");
    return options_read(field, value, model);
}

static json_t *rope_write(const JsonField *field, const ModelConfig *model) {
    (void)field;
    if (model->rope.scaling == ROPE_SCALING_NONE) return json_null();
    json_t *object = json_pack("{s:s}", "rope_type", types[model->rope.scaling]);
    for (size_t i = 0; i < COUNT(options); i++) {
        const JsonField *option = &options[i].field;
        bool is_formula = option->member == offsetof(ModelConfig, rope.attention_factor) &&
                          model->rope.attention_factor == 0;
        if ((options[i].types & 1 << model->rope.scaling) != 0 && !is_formula)
            json_object_set_new(object, option->name, option->rule->write(option, model));
    }
    return object;
}

const JsonRule json_rope_scaling = {rope_read, rope_write};
const JsonRule json_rope_parameters = {rope_read, NULL};
