/* Windows of attention in config.json. A window of W is the token itself and the W - 1 before it,
 * in transformers as here. */
#include "launch/convert/json_field.h"

#include <stdio.h>
#include <string.h>

static Status width_read(const char *name, const json_t *value, int64_t *out) {
    *out = json_is_null(value) ? 0 : json_integer_value(value);
    if (json_is_null(value) || (json_is_integer(value) && *out >= 1)) return OK;
    return json_field_error(name, value, "expected was a whole number from 1, or null");
}

/* ---- Mistral: one window for all layers ------------------------------------------------------ */

static Status window_read(const JsonField *field, const json_t *config, const json_t *value,
                          ModelConfig *model) {
    (void)config;
    model->window = (LayerPattern){.count = 1};
    return width_read(field->name, value, &model->window.items[0]);
}

static json_t *width_write(const JsonField *field, const ModelConfig *model) {
    int64_t width = 0;
    (void)field;
    for (int64_t i = 0; i < model->L; i++) {
        int64_t here = layer_pattern_at(&model->window, i);
        if (here > width) width = here;
    }
    return width == 0 ? json_null() : json_integer(width);
}

const JsonRule json_window = {window_read, width_write};

/* ---- Qwen: full attention in the first layers, or a list ------------------------------------- */

static int64_t first_with_window(const ModelConfig *model) {
    int64_t i = 0;
    while (i < model->L && layer_pattern_at(&model->window, i) == 0) i++;
    return i;
}

static Status is_used_read(const JsonField *field, const json_t *config, const json_t *value,
                           ModelConfig *model) {
    return json_any_flag.read(field, config, value, model);
}

static json_t *is_used_write(const JsonField *field, const ModelConfig *model) {
    (void)field;
    return json_boolean(first_with_window(model) < model->L);
}

static Status width_check(const JsonField *field, const json_t *config, const json_t *value,
                          ModelConfig *model) {
    int64_t width;
    (void)config, (void)model;
    return width_read(field->name, value, &width);
}

static Status first_check(const JsonField *field, const json_t *config, const json_t *value,
                          ModelConfig *model) {
    (void)config, (void)model;
    if (json_is_integer(value) && json_integer_value(value) >= 0) return OK;
    return json_field_error(field->name, value, "expected was a whole number");
}

static json_t *first_write(const JsonField *field, const ModelConfig *model) {
    (void)field;
    return json_integer(first_with_window(model));
}

const JsonRule json_uses_window = {is_used_read, is_used_write};
const JsonRule json_window_width = {width_check, width_write};
const JsonRule json_window_first = {first_check, first_write};

/* Whether a layer has the window: its entry in layer_types, otherwise from max_window_layers on. */
static Status layer_read(const JsonField *field, const json_t *types, int64_t layer, int64_t first,
                         bool *out) {
    const char *type = json_string_value(json_array_get(types, (size_t)layer));
    *out = layer >= first;
    if (json_is_null(types)) return OK;
    *out = type != NULL && strcmp(type, "sliding_attention") == 0;
    if (*out || (type != NULL && strcmp(type, "full_attention") == 0)) return OK;
    return json_field_error(field->name, types,
                            "expected was \"full_attention\" or \"sliding_attention\" per layer");
}

static int64_t period_of(const int64_t *items, int64_t n) {
    for (int64_t period = 1; period < n; period++) {
        int64_t i = period;
        while (i < n && items[i] == items[i - period]) i++;
        if (i == n) return period;
    }
    return n;
}

static Status pattern_of(const JsonField *field, const json_t *types, const int64_t *items,
                         int64_t L, LayerPattern *out) {
    int64_t period = period_of(items, L);
    if (period > LAYER_PATTERN_MAX)
        return json_field_error(field->name, types,
                                "expected were windows that repeat within 64 layers");
    *out = (LayerPattern){.count = (int)period};
    memcpy(out->items, items, (size_t)period * sizeof *items);
    return OK;
}

enum { LAYERS_MAX = 4096 };

static Status layers_read(const JsonField *field, const json_t *config, const json_t *value,
                          ModelConfig *model) {
    int64_t items[LAYERS_MAX],
        width = json_integer_value(json_object_get(config, "sliding_window"));
    const json_t *first = json_object_get(config, "max_window_layers");
    bool is_used = json_is_true(json_object_get(config, "use_sliding_window"));
    if (model->L > LAYERS_MAX ||
        (!json_is_null(value) &&
         (!json_is_array(value) || json_array_size(value) != (size_t)model->L)))
        return json_field_error(field->name, value, "expected was one type per layer");
    if (json_object_get(config, "sliding_window") == NULL) width = 4096;
    for (int64_t i = 0; i < model->L; i++) {
        bool has_window;
        TRY(layer_read(field, value, i, first == NULL ? 28 : json_integer_value(first),
                       &has_window));
        if (has_window && is_used && width == 0 && !json_is_null(value))
            return json_field_error(field->name, value, "sliding_window is null");
        items[i] = has_window && is_used ? width : 0;
    }
    return pattern_of(field, value, items, model->L, &model->window);
}

static json_t *layers_write(const JsonField *field, const ModelConfig *model) {
    json_t *types = json_array();
    (void)field;
    for (int64_t i = 0; i < model->L; i++) {
        bool has_window = layer_pattern_at(&model->window, i) != 0;
        json_array_append_new(types,
                              json_string(has_window ? "sliding_attention" : "full_attention"));
    }
    return types;
}

const JsonRule json_window_layers = {layers_read, layers_write};
