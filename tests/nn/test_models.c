/* The choices of a model's layers: gradients of whole models, presets, sizes. */
#include "nn/models/families.h"
#include "tests/harness.h"
#include "tests/nn/gradients_helper.h"

#include <stdio.h>
#include <string.h>

/* A small model with shared key heads and heads wider than C / NH. */
static ModelOptions options_of(ModelConfig layers) {
    ModelOptions options = options_f64(2, 1, 0, NULL);
    layers.V = 29, layers.Vp = 32, layers.T = 9, layers.L = 2, layers.C = 8;
    if (layers.NH == 0) layers.NH = 2;
    options.config = layers;
    return options;
}

#define CHOICE(...) options_of((ModelConfig){MODEL_CONFIG_DEFAULTS, __VA_ARGS__})
#define ROPE .position = POSITION_ROPE

static const ModelConfig llama = {.norm = MODEL_RMSNORM,
                                  .norm_weight = true,
                                  .norm_eps = 1e-5,
                                  .position = POSITION_ROPE,
                                  .rope = ROPE_OPTIONS_DEFAULTS,
                                  .mlp = MLP_SWIGLU,
                                  .F = 12,
                                  .NH = 4,
                                  .NH_kv = 2,
                                  .tie_embeddings = true,
                                  .embedding_std = 0.02,
                                  .linear_std = 0.02};

static ModelConfig qwen3(void) {
    ModelConfig config = llama;
    config.qk_norm = config.qk_norm_weight = true;
    config.HS = 6;
    return config;
}

static ModelConfig modern(void) {
    ModelConfig config = llama;
    config.norm_weight = config.tie_embeddings = false;
    config.rope.fraction = 0.5;
    config.mlp = MLP_RELU2;
    config.NH = config.NH_kv = 2;
    config.qk_norm = true;
    config.attention_scale = 0.3;
    config.logit_softcap = 5;
    config.embedding_norm = config.residual_scalars = true;
    config.value_embeddings = (LayerPattern){2, {0, 1}};
    config.short_conv[CONV_ATTENTION] = config.short_conv[CONV_MLP] = 3;
    config.short_conv[CONV_QKV] = 2;
    config.window = (LayerPattern){2, {4, 0}};
    return config;
}

static void norms(void) {
    check_gradients(CHOICE(.norm = MODEL_RMSNORM));
    ModelOptions bare = CHOICE(.norm = MODEL_LAYERNORM);
    bare.config.norm_weight = false;
    check_gradients(bare);
    bare.config.norm = MODEL_RMSNORM;
    check_gradients(bare);
}

static void positions(void) {
    check_gradients(CHOICE(.position = POSITION_NONE));
    check_gradients(CHOICE(ROPE));
    ModelOptions scaled = CHOICE(ROPE);
    scaled.config.rope.factor = 4;
    scaled.config.rope.original_positions = 4;
    scaled.config.rope.base = 100;
    for (int scaling = ROPE_SCALING_LINEAR; scaling <= ROPE_SCALING_YARN; scaling++) {
        scaled.config.rope.scaling = (RopeScaling)scaling;
        check_gradients(scaled);
    }
}

static void mlps(void) {
    check_gradients(CHOICE(.mlp = MLP_SWIGLU));
    check_gradients(CHOICE(.mlp = MLP_GEGLU, .F = 12));
    check_gradients(CHOICE(.mlp = MLP_RELU2, .F = 16)); /* no argument is near 0, its kink */
    check_gradients(CHOICE(.F = 20));
}

static void heads(void) {
    check_gradients(CHOICE(.NH = 4, .NH_kv = 1));
    check_gradients(CHOICE(.HS = 6, ROPE));
    check_gradients(CHOICE(.NH = 4, .NH_kv = 2, .qk_norm = true, .qkv_bias = QKV_BIAS_FALSE));
    check_gradients(CHOICE(.window = {2, {3, 0}}, .attention_scale = 0.7));
    check_gradients(CHOICE(.NH = 4, .NH_kv = 2, .attention_softcap = 0.5, ROPE));
}

static void blocks(void) {
    check_gradients(CHOICE(.block = BLOCK_PARALLEL));
    check_gradients(CHOICE(.residual_scalars = true));
    check_gradients(CHOICE(.value_embeddings = {1, {1}}, .NH = 4, .NH_kv = 2));
    check_gradients(CHOICE(.logit_softcap = 3, .embedding_norm = true));
    check_gradients(CHOICE(.short_conv = {[CONV_ATTENTION] = 2}));
    check_gradients(CHOICE(.short_conv = {4, 2, 3}, .block = BLOCK_PARALLEL));
}

static void families(void) {
    check_gradients(options_of(llama));
    check_gradients(options_of(qwen3()));
    check_gradients(options_of(modern()));
}

static void families_with_dropout_in_chunks(void) {
    const ModelConfig configs[] = {llama, qwen3(), modern()};
    for (size_t i = 0; i < COUNT(configs); i++) {
        ModelOptions options = options_of(configs[i]);
        options.config.dropout = 0.2;
        options.logits_bytes = 5 * 32 * sizeof(double);
        check_gradients(options);
    }
}

/* Recomputation and accumulation change nothing. */
static void families_recompute_and_accumulate(void) {
    const ModelConfig configs[] = {llama, qwen3(), modern()};
    for (size_t i = 0; i < COUNT(configs); i++) {
        ModelOptions plain = options_of(configs[i]), other = plain;
        plain.B = other.B = 8;
        for (int recompute = RECOMPUTE_GELU; recompute <= RECOMPUTE_BLOCK; recompute++) {
            other.recompute = (Recompute)recompute;
            check_same(other, plain, 1e-15);
        }
        other.recompute = RECOMPUTE_NONE;
        other.B = 2, other.accumulation = 4;
        check_same(other, plain, 1e-12);
    }
}

/* At the start the output projections are 0, so the logits are those of the embeddings alone. */
static void zero_init_starts_without_blocks(void) {
    ModelOptions options = options_of(modern());
    TestModel model;
    double loss = 0;
    options.config.zero_init = true;
    model_batch(&(TestModel){.options = options}, ROWS, tokens, targets);
    REQUIRE_OK(test_model_create(&options, &model));
    CHECK_OK(model_evaluate(&model, tokens, targets, &loss));
    CHECK_CLOSE(loss, 3.3672958299864741, 1e-14); /* ln 29 */
    const Parameter *scalars = model_parameter(&model, "h.1.scalars");
    CHECK(model_get(scalars->weight, 0) == 1 && model_get(scalars->weight, 1) == 0);
    test_model_destroy(&model);
}

static void presets_are_listed(void) {
    static const char *const names[] = {"gpt2", "llama", "qwen3", "mistral", "modern"};
    int listed = 1;
    CHECK(strcmp(model_preset_names[0], "none") == 0 && model_family("none") == NULL);
    for (size_t i = 0; i < COUNT(names); i++) {
        const ModelFamily *family = model_family(names[i]), *found;
        CHECK(family != NULL);
        if (family == NULL) continue;
        for (const ModelPreset *preset = family->presets; preset->name != NULL; preset++) {
            CHECK(model_preset(preset->name, &found) == preset && found == family);
            CHECK(model_preset_names[listed] != NULL &&
                  strcmp(model_preset_names[listed], preset->name) == 0);
            listed += model_preset_names[listed] != NULL;
        }
    }
    CHECK(model_preset_names[listed] == NULL);
    CHECK(strcmp(model_preset_value("llama-124m", "model.norm"), "rmsnorm") == 0);
    CHECK(model_preset_value("llama-124m", "optimizer.lr") == NULL);
    CHECK(model_preset_value("none", "model.norm") == NULL);
}

static void widths(void) {
    CHECK(model_mlp_width(MLP_GELU, 768) == 3072 && model_mlp_width(MLP_RELU2, 768) == 3072);
    CHECK(model_mlp_width(MLP_SWIGLU, 768) == 2048 && model_mlp_width(MLP_GEGLU, 100) == 320);
    LayerPattern pattern = {3, {512, 128, 0}};
    CHECK(layer_pattern_at(&pattern, 4) == 128 && layer_pattern_at(&pattern, 5) == 0);
    CHECK(layer_pattern_at(&(LayerPattern){0}, 7) == 0);
}

/* Llama 3.2 1B has 1,235,814,400 parameters, as its model card says. */
static void parameters_of_a_known_model(void) {
    Store *store = NULL;
    Parameters *parameters = NULL;
    Model *model = NULL;
    ModelConfig config = llama;
    config.V = config.Vp = 128256, config.T = 8192, config.L = 16, config.C = 2048;
    config.NH = 32, config.NH_kv = 8, config.F = 8192;
    CHECK_OK(store_create(&store));
    CHECK_OK(parameters_create(store, DTYPE_F32, false, &parameters));
    CHECK_OK(model_create(&config, parameters, &model));
    CHECK(parameters_count(parameters) == 1235814400);
    model_destroy(&model);
    parameters_destroy(&parameters);
    store_destroy(&store);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(norms),
        TEST(positions),
        TEST(mlps),
        TEST(heads),
        TEST(blocks),
        TEST(families),
        TEST(families_with_dropout_in_chunks),
        TEST(families_recompute_and_accumulate),
        TEST(zero_init_starts_without_blocks),
        TEST(presets_are_listed),
        TEST(widths),
        TEST(parameters_of_a_known_model),
    };
    return harness_run(argc, argv, "models", tests, COUNT(tests));
}
