#include "launch/convert/model_keys.h"

#include "launch/config/field.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- equal functions, equal values ----------------------------------------------------------- */

static RopeOptions rope_plain(const ModelConfig *c) {
    RopeOptions plain = ROPE_OPTIONS_DEFAULTS, rope = c->rope;
    if (c->position != POSITION_ROPE) return plain;
    plain.base = rope.base;
    plain.fraction = rope.fraction;
    plain.scaling = rope.scaling;
    if (rope.scaling == ROPE_SCALING_NONE) return plain;
    plain.factor = rope.factor;
    if (rope.scaling == ROPE_SCALING_LINEAR) return plain;
    plain.original_positions = rope.original_positions;
    if (rope.scaling == ROPE_SCALING_LLAMA3) {
        plain.low_freq_factor = rope.low_freq_factor;
        plain.high_freq_factor = rope.high_freq_factor;
        return plain;
    }
    plain.beta_fast = rope.beta_fast;
    plain.beta_slow = rope.beta_slow;
    plain.attention_factor =
        rope.attention_factor == 0 ? 0.1 * log(rope.factor) + 1 : rope.attention_factor;
    return plain;
}

/* The shortest list with the same value for each of L layers. */
static LayerPattern pattern_plain(const LayerPattern *pattern, int64_t L) {
    LayerPattern plain = *pattern;
    bool repeats = false;
    for (int n = 1; n < pattern->count && !repeats; n++) {
        plain.count = n;
        repeats = true;
        for (int64_t i = 0; i < L; i++)
            repeats = repeats && layer_pattern_at(&plain, i) == layer_pattern_at(pattern, i);
    }
    if (!repeats) plain.count = pattern->count;
    if (layer_pattern_is_zero(&plain)) plain.count = 0;
    return plain;
}

static bool has_own_qkv_bias(const ModelConfig *c) {
    return c->qkv_bias != QKV_BIAS_AUTO && (c->qkv_bias == QKV_BIAS_TRUE) != c->bias;
}

static ModelConfig plain_of(const ModelConfig *config) {
    ModelConfig c = model_config_complete(*config);
    if (!has_own_qkv_bias(&c)) c.qkv_bias = QKV_BIAS_AUTO;
    c.rope = rope_plain(&c);
    for (int i = 0; i < c.window.count; i++) {
        if (c.window.items[i] >= c.T) c.window.items[i] = 0;
    }
    c.window = pattern_plain(&c.window, c.L);
    c.value_embeddings = pattern_plain(&c.value_embeddings, c.L);
    if (c.attention_scale == 1 / sqrt((double)c.HS)) c.attention_scale = 0;
    if (!c.qk_norm) c.qk_norm_weight = true;
    return c;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static bool is_of_model(const Field *field) {
    size_t first = offsetof(Config, model);
    return field->offset >= first && field->offset < first + sizeof(ModelConfig);
}

static bool is_function(const Field *field, const ModelConfig *config) {
    static const char *const initial[] = {"model.dropout", "model.embedding_std",
                                          "model.linear_std", "model.zero_init"};
    for (size_t i = 0; i < sizeof initial / sizeof *initial; i++) {
        if (strcmp(field->path, initial[i]) == 0) return false;
    }
    return strcmp(field->path, "model.block_size") != 0 || config->position == POSITION_LEARNED;
}

static bool is_equal(const Field *field, const ModelConfig *a, const ModelConfig *b) {
    Config with_a = {.model = *a}, with_b = {.model = *b};
    char *text_a = field_text(field, &with_a), *text_b = field_text(field, &with_b);
    bool same = text_a != NULL && text_b != NULL && strcmp(text_a, text_b) == 0;
    free(text_a);
    free(text_b);
    return same;
}

int model_keys_differing(const ModelConfig *a, const ModelConfig *b, const char **key) {
    ModelConfig plain_a = plain_of(a), plain_b = plain_of(b);
    int count = 0;
    *key = NULL;
    for (size_t i = 0; i < schema_count; i++) {
        const Field *field = &schema[i];
        if (!is_of_model(field) || !is_function(field, a) || is_equal(field, &plain_a, &plain_b))
            continue;
        if (count++ == 0) *key = field->path;
    }
    return count;
}

char *model_key_text(const char *key, const ModelConfig *config) {
    Config with = {.model = *config};
    return field_text(schema_find(key), &with);
}

Status model_keys_check(StatusCode code, const char *path, const ModelConfig *model,
                        const ModelConfig *weights) {
    const char *key;
    if (model_keys_differing(model, weights, &key) == 0) return OK;
    char *is = model_key_text(key, model), *wanted = model_key_text(key, weights);
    Status status = ERROR(code, "%s: %s is %s, but the weights have %s", path, key,
                          is == NULL ? "?" : is, wanted == NULL ? "?" : wanted);
    free(is);
    free(wanted);
    return status;
}

ModelConfig model_config_abridged(ModelConfig config) {
    ModelConfig shorter = config;
    shorter.NH_kv = shorter.HS = shorter.F = shorter.rope.original_positions = 0;
    ModelConfig again = model_config_complete(shorter);
    if (again.NH_kv == config.NH_kv) config.NH_kv = 0;
    if (again.HS == config.HS) config.HS = 0;
    if (again.F == config.F) config.F = 0;
    if (again.rope.original_positions == config.rope.original_positions)
        config.rope.original_positions = 0;
    return config;
}
