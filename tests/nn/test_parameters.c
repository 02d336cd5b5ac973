/* Layout and initialization of parameters. */
#include "core/ops/adamw.h"
#include "core/rng.h"
#include "nn/optim/adamw.h"
#include "nn/optim/groups.h"
#include "tests/harness.h"
#include "tests/nn/model_helper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check_same_weights(uint64_t seed_a, uint64_t seed_b, DType dtype, bool same) {
    ModelOptions a = model_tiny(), b = model_tiny();
    TestModel model_a, model_b;
    a.seed = seed_a, b.seed = seed_b, a.dtype = b.dtype = dtype;
    b.threads = 2;
    if (CHECK_OK(test_model_create(&a, &model_a)) && CHECK_OK(test_model_create(&b, &model_b))) {
        const Tensor *x = model_a.parameters->weights->flat, *y = model_b.parameters->weights->flat;
        CHECK((memcmp(tensor_data(x), tensor_data(y), tensor_bytes(x)) == 0) == same);
    }
    test_model_destroy(&model_a);
    test_model_destroy(&model_b);
}

static void seeds(void) {
    check_same_weights(1337, 1337, DTYPE_F32, true);
    check_same_weights(1337, 1337, DTYPE_F64, true);
    check_same_weights(1337, 1338, DTYPE_F32, false);
}

typedef struct Moments {
    double mean, deviation;
} Moments;

static Moments moments_of(const Tensor *t, int64_t count) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++)
        sum += model_get(t, i), squares += model_get(t, i) * model_get(t, i);
    return (Moments){sum / (double)count, sqrt(squares / (double)count)};
}

/* Mean and deviation of normal numbers, within five standard errors. */
static void check_normal(const TestModel *model, const char *name, int64_t rows, double std) {
    const Parameter *parameter = model_parameter(model, name);
    CU_ASSERT_FATAL(parameter != NULL);
    int64_t count = rows * parameter->shape[1];
    Moments moments = moments_of(parameter->weight, count);
    CHECK(fabs(moments.mean) <= 5 * std / sqrt((double)count));
    CHECK(fabs(moments.deviation / std - 1) <= 5 / sqrt(2.0 * (double)count));
}

static void initialization(void) {
    ModelOptions options = model_tiny();
    options.config = (ModelConfig){
        MODEL_CONFIG_DEFAULTS, .V = 300, .Vp = 320, .T = 16, .L = 8, .NH = 4, .C = 64};
    TestModel model;
    REQUIRE_OK(test_model_create(&options, &model));
    check_normal(&model, "wte.weight", 300, 0.02);
    check_normal(&model, "wpe.weight", 16, 0.02);
    check_normal(&model, "h.7.attn.c_attn.weight", 192, 0.02);
    check_normal(&model, "h.0.attn.c_proj.weight", 64, 0.02 / 4); /* sqrt(2 L) = 4 */
    check_normal(&model, "h.3.mlp.c_fc.weight", 256, 0.02);
    check_normal(&model, "h.3.mlp.c_proj.weight", 64, 0.02 / 4);
    const Parameter *wte = model_parameter(&model, "wte.weight"),
                    *gamma = model_parameter(&model, "ln_f.weight");
    const Parameter *bias = model_parameter(&model, "h.2.mlp.c_fc.bias");
    for (int64_t i = 300 * 64; i < 320 * 64; i++) CHECK(model_get(wte->weight, i) == 0);
    for (int64_t i = 0; i < 64; i++)
        CHECK(model_get(gamma->weight, i) == 1 && model_get(bias->weight, i) == 0);
    test_model_destroy(&model);
}

static void linear_std_scales_linear_layers(void) {
    ModelOptions options = model_tiny();
    options.config = (ModelConfig){
        MODEL_CONFIG_DEFAULTS, .V = 300, .Vp = 320, .T = 16, .L = 8, .NH = 4, .C = 64};
    options.config.linear_std = 0.05;
    options.config.tie_embeddings = false;
    TestModel model;
    REQUIRE_OK(test_model_create(&options, &model));
    check_normal(&model, "wte.weight", 300, 0.02);
    check_normal(&model, "lm_head.weight", 300, 0.05);
    check_normal(&model, "h.7.attn.c_attn.weight", 192, 0.05);
    check_normal(&model, "h.0.attn.c_proj.weight", 64, 0.05 / 4);
    check_normal(&model, "h.3.mlp.c_fc.weight", 256, 0.05);
    test_model_destroy(&model);
}

/* Two matrices get different numbers. */
static void parameters_differ(void) {
    ModelOptions options = model_tiny();
    TestModel model;
    REQUIRE_OK(test_model_create(&options, &model));
    const Tensor *a = model_parameter(&model, "h.0.mlp.c_fc.weight")->weight;
    const Tensor *b = model_parameter(&model, "h.1.mlp.c_fc.weight")->weight;
    double product = 0;
    for (int64_t i = 0; i < tensor_count(a); i++) product += model_get(a, i) * model_get(b, i);
    CHECK(fabs(product) <= 5 * 0.02 * 0.02 * sqrt((double)tensor_count(a)));
    test_model_destroy(&model);
}

/* Initialization and a dropout mask with the same seed use different random words; the first mask
 * is stream 1 of step 0. */
static void initialization_is_no_mask(void) {
    ModelOptions options = model_tiny();
    TestModel model;
    REQUIRE_OK(test_model_create(&options, &model));
    for (int index = 0; index < model.parameters->count; index++) {
        const Parameter *parameter = model.parameters->list[index];
        if (parameter->init != INIT_NORMAL) continue;
        Philox words = philox(options.seed, 0, rng_counter(0, (uint32_t)index));
        double radius = sqrt(-2 * log(1 - (double)rng_uniform(words.word[0])));
        double x = model_get(parameter->weight, 0), y = model_get(parameter->weight, 1);
        CHECK(fabs(hypot(x, y) / parameter->std - radius) > 1e-4);
    }
    test_model_destroy(&model);
}

/* Matrices first, each group in the reverse of its declaration; every section alike, and
 * aligned. */
static void layout(void) {
    ModelOptions options = model_tiny();
    TestModel model;
    REQUIRE_OK(test_model_create(&options, &model));
    const Parameters *parameters = model.parameters;
    const Section *sections[] = {parameters->weights, parameters->grads,
                                 parameters->states[0].section, parameters->states[1].section};
    for (size_t s = 0; s < COUNT(sections); s++) {
        size_t next = 0;
        CHECK(sections[s]->n_entries == parameters->count);
        CHECK(sections[s]->buffer.bytes == sections[0]->buffer.bytes);
        for (int i = 0; i < sections[s]->n_entries; i++) {
            const Tensor *t = sections[s]->entries[i].tensor;
            CHECK(strcmp(sections[s]->entries[i].name, parameters->weights->entries[i].name) == 0);
            CHECK(t->offset >= next && t->offset % (STORE_ALIGNMENT * sizeof(float)) == 0);
            CHECK(t->offset == parameters->weights->entries[i].tensor->offset);
            next = t->offset + tensor_bytes(t);
        }
        CHECK(sections[s]->buffer.bytes >= next);
    }
    int entry = 0;
    for (int n_dims = 2; n_dims >= 1; n_dims--) {
        for (int i = parameters->count - 1; i >= 0; i--) {
            const Parameter *parameter = parameters->list[i];
            if (parameter->n_dims != n_dims) continue;
            CHECK(strcmp(parameters->weights->entries[entry].name, parameter->name) == 0);
            CHECK(((int64_t)(parameter->weight->offset / sizeof(float)) <
                   parameters->groups[0].range.count) == (n_dims == 2));
            entry++;
        }
    }
    CHECK(strcmp(parameters->list[0]->name, "wte.weight") == 0);
    CHECK(strcmp(parameters->weights->entries[0].name, "h.1.mlp.c_proj.weight") == 0);
    CHECK(strcmp(parameters->weights->entries[entry - 1].name, "h.0.ln_1.weight") == 0);
    test_model_destroy(&model);
}

/* Buckets tile the layout, divide into aligned parts and among ranks, and do not mix parameters
 * with and without decay, or embeddings with gradients that backward completes earlier. */
static void buckets(void) {
    ModelOptions options = model_tiny();
    options.config.C = 320; /* a matrix of 4 C x C is over 1 MiB */
    TestModel model;
    REQUIRE_OK(test_model_create(&options, &model));
    const Parameters *parameters = model.parameters;
    int64_t next = 0, table = -1;
    CHECK(parameters->parts == 256 && parameters->n_buckets >= 4);
    for (int s = 0; s < parameters->n_buckets; s++) {
        const ElementRange *bucket = &parameters->buckets[s];
        CHECK(bucket->first == next && bucket->count > 0 &&
              bucket->count % (parameters->parts * 16) == 0);
        CHECK((bucket->first < parameters->groups[0].range.count) ==
              (bucket->first + bucket->count <= parameters->groups[0].range.count));
        CHECK(parameters_state_shard(parameters, STATE_WEIGHTS, s).first == bucket->first);
        next = bucket->first + bucket->count;
    }
    CHECK(next == tensor_count(parameters->weights->flat));
    table = (int64_t)(model_parameter(&model, "wpe.weight")->weight->offset / sizeof(float));
    CHECK(parameters->buckets[parameters->n_buckets - 2].first == table);
    CHECK(parameters->buckets[0].count < 2 * 4 * 320 * 320); /* the first is closed early */
    test_model_destroy(&model);
}

/* Ranks with a sharded optimizer hold each element of its state once. */
static void shards(void) {
    enum { RANKS = 3 };
    const ModelConfig gpt_config = {
        MODEL_CONFIG_DEFAULTS, .V = 61, .Vp = 64, .T = 16, .L = 2, .NH = 4, .C = 32};
    Device *device = NULL;
    REQUIRE_OK(device_open_cpu(1, &device));
    for (int rank = 0; rank < RANKS; rank++) {
        Store *store = NULL;
        Parameters *parameters = NULL;
        Model *model = NULL;
        CHECK_OK(store_create(&store));
        CHECK_OK(parameters_create(store, DTYPE_F32, true, &parameters));
        parameters->sharding = (Sharding){.rank = rank, .ranks = RANKS, .is_sharded = true};
        GroupOptions kinds[PARAMETER_KINDS];
        groups_adamw(kinds, (OptimizerOptions){0}, 0.1);
        CHECK_OK(groups_add(parameters, NULL, kinds));
        CHECK_OK(model_create(&gpt_config, parameters, &model));
        int64_t whole = tensor_count(parameters->weights->flat);
        CHECK(tensor_count(parameters->states[0].section->flat) * RANKS == whole &&
              parameters->parts % RANKS == 0);
        CHECK_OK(store_allocate(store, device));
        float *values = calloc((size_t)whole, sizeof *values);
        for (int i = 0; i < parameters->count; i++) { /* the value of each element is its index */
            const Tensor *t = parameters->list[i]->weight;
            int64_t first = (int64_t)(t->offset / sizeof(float));
            for (int64_t k = 0; k < tensor_count(t); k++) values[k] = (float)(first + k);
            CHECK_OK(parameters_write(parameters, device, parameters_find_state(parameters, "v"), i,
                                      values));
        }
        const float *v = parameters->states[1].section->buffer.data;
        for (int s = 0; s < parameters->n_buckets; s++) {
            ElementRange shard = parameters_state_shard(parameters, STATE_WEIGHTS, s);
            int64_t place = parameters_state_bucket(parameters, 2, s).first / RANKS;
            CHECK(shard.first == parameters->buckets[s].first + rank * shard.count);
            for (int64_t k = 0; k < shard.count; k++) {
                CHECK(v[place + k] == (float)(shard.first + k) ||
                      v[place + k] == 0); /* or padding */
            }
        }
        int64_t held = 0;
        for (int64_t k = 0; k < whole / RANKS; k++) held += v[k] != 0;
        CHECK(held > parameters_count(parameters) / (2 * RANKS));
        free(values);
        model_destroy(&model);
        parameters_destroy(&parameters);
        store_destroy(&store);
    }
    device_close(&device);
}

enum { MATRICES = 1 << PARAMETER_MATRIX | 1 << PARAMETER_EMBEDDING | 1 << PARAMETER_HEAD };

/* Matrices have a private state and `m`, vectors have AdamW's: each state covers exactly the groups
 * that name it, on one rank and in the shards of two. */
static void states_of_two_optimizers(void) {
    static const Optimizer other = {"other", {{"momentum", false}, {"m", false}}, NULL};
    const ModelConfig config = {
        MODEL_CONFIG_DEFAULTS, .V = 61, .Vp = 64, .T = 16, .L = 2, .NH = 4, .C = 32};
    for (int ranks = 1; ranks <= 2; ranks++) {
        Store *store = NULL;
        Parameters *p = NULL;
        Model *model = NULL;
        CHECK_OK(store_create(&store));
        CHECK_OK(parameters_create(store, DTYPE_F32, true, &p));
        p->sharding = (Sharding){.rank = ranks - 1, .ranks = ranks, .is_sharded = ranks > 1};
        CHECK_OK(parameters_add_group(
            p, (ParameterGroup){.name = "a", .kinds = MATRICES, .optimizer = &other}));
        CHECK_OK(parameters_add_group(
            p, (ParameterGroup){.name = "b", .kinds = ~0u, .optimizer = &adamw_optimizer}));
        CHECK_OK(model_create(&config, p, &model));
        int64_t matrices = p->groups[0].range.count, vectors = p->groups[1].range.count;
        int momentum = parameters_find_state(p, "momentum"), m = parameters_find_state(p, "m"),
            v = parameters_find_state(p, "v"), last = p->n_buckets - 1;
        CHECK(parameters_state_count(p) == 4 && matrices > vectors && vectors > 0);
        CHECK(parameters_state_elements(p, momentum) == matrices);
        CHECK(parameters_state_elements(p, m) == matrices + vectors);
        CHECK(parameters_state_elements(p, v) == vectors);
        CHECK(tensor_count(parameters_state(p, v)->flat) == vectors / ranks);
        CHECK(parameters_state_bucket(p, momentum, last).count == 0);
        CHECK(parameters_state_bucket(p, v, 0).count == 0 &&
              parameters_state_bucket(p, v, last).first == 0);
        CHECK(parameters_group_range(p, m, &p->groups[1]).first == matrices / ranks);
        CHECK(parameters_group_of(p, last) == &p->groups[1]);
        model_destroy(&model);
        parameters_destroy(&p);
        store_destroy(&store);
    }
}

static void a_parameter_without_a_group_is_refused(void) {
    const ModelConfig config = {
        MODEL_CONFIG_DEFAULTS, .V = 61, .Vp = 64, .T = 16, .L = 1, .NH = 4, .C = 32};
    Store *store = NULL;
    Parameters *p = NULL;
    Model *model = NULL;
    CHECK_OK(store_create(&store));
    CHECK_OK(parameters_create(store, DTYPE_F32, true, &p));
    CHECK_OK(parameters_add_group(
        p, (ParameterGroup){.name = "a", .kinds = MATRICES, .optimizer = &adamw_optimizer}));
    CHECK(model_create(&config, p, &model).code == STATUS_CONFIG);
    CHECK(strstr(status_message(), "no parameter group has 'h.0.ln_1.weight'") != NULL);
    model_destroy(&model);
    parameters_destroy(&p);
    store_destroy(&store);
}

static void counting(void) {
    ModelOptions options = model_tiny();
    TestModel model;
    REQUIRE_OK(test_model_create(&options, &model));
    CHECK(parameters_count(model.parameters) ==
          61 * 32 + 16 * 32 + 2 * (12 * 32 * 32 + 13 * 32) + 2 * 32);
    size_t bytes = (size_t)tensor_count(model.parameters->weights->flat) * sizeof(float);
    CHECK(store_kind_bytes(model.store, BUFFER_WEIGHTS) == bytes);
    CHECK(store_kind_bytes(model.store, BUFFER_MOMENTS) == 2 * bytes);
    CHECK(store_bytes(model.store) >= 4 * bytes && store_bytes(model.store) < 4 * bytes + 4096);
    test_model_destroy(&model);
}

static void names_what_is_not_finite(void) {
    ModelOptions options = model_tiny();
    TestModel model;
    REQUIRE_OK(test_model_create(&options, &model));
    for (int i = 0; i < model.parameters->count; i++) {
        const Parameter *parameter = model.parameters->list[i];
        int64_t first = (int64_t)(parameter->grad->offset / dtype_size(parameter->grad->dtype));
        CHECK(strcmp(parameters_name_at(model.parameters, first), parameter->name) == 0);
        int64_t last = first + tensor_count(parameter->grad) - 1, element;
        CHECK(adamw_first_nonfinite_element(adamw_first_nonfinite(7, last), &element));
        CHECK(strcmp(parameters_name_at(model.parameters, element), parameter->name) == 0);
        CHECK(adamw_first_nonfinite(7, last) > adamw_first_nonfinite(8, first) &&
              adamw_first_nonfinite(7, first) >= adamw_first_nonfinite(7, last));
    }
    test_model_destroy(&model);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(seeds),
                          TEST(initialization),
                          TEST(linear_std_scales_linear_layers),
                          TEST(parameters_differ),
                          TEST(layout),
                          TEST(buckets),
                          TEST(states_of_two_optimizers),
                          TEST(a_parameter_without_a_group_is_refused),
                          TEST(shards),
                          TEST(counting),
                          TEST(names_what_is_not_finite),
                          TEST(initialization_is_no_mask)};
    return harness_run(argc, argv, "parameters", tests, COUNT(tests));
}
