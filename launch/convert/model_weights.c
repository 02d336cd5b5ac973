#include "launch/convert/model_weights.h"

#include "core/base/checked.h"
#include "nn/model.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 24, MOST_BLOCKS = 1 << 16 };

static Status no_room(const char *origin) {
    return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory for its weights", origin);
}

static Status sizes_check(const char *origin, const ModelWeights *w) {
    const ModelConfig *c = &w->config;
    const int64_t all[] = {c->V, c->T, c->C, c->NH, c->NH_kv, c->HS, c->F};
    bool fits = c->L >= 1 && c->L <= MOST_BLOCKS && c->NH % c->NH_kv == 0;
    for (int i = 0; i < 7; i++) fits = fits && all[i] >= 1 && all[i] <= LARGEST;
    if (fits) return OK;
    return ERROR(
        STATUS_DATA,
        "%s: no model has these sizes: vocabulary %lld, positions %lld, blocks %lld, heads "
        "%lld, key heads %lld of %lld channels, channels %lld, of the MLP %lld",
        origin, (long long)c->V, (long long)c->T, (long long)c->L, (long long)c->NH,
        (long long)c->NH_kv, (long long)c->HS, (long long)c->C, (long long)c->F);
}

static Status heads_check(const char *origin, const ModelConfig *c) {
    if (c->NH >= 1 && c->NH <= LARGEST && c->NH_kv >= 0 && (c->HS > 0 || c->C % c->NH == 0))
        return OK;
    return ERROR(STATUS_DATA, "%s: %lld channels cannot be shared by %lld heads; set --heads",
                 origin, (long long)c->C, (long long)c->NH);
}

static Status rope_check(const char *origin, const ModelConfig *c) {
    RopeFrequencies frequencies;
    if (c->position != POSITION_ROPE || !failed(rope_frequencies(&c->rope, c->HS, &frequencies)))
        return OK;
    return ERROR(STATUS_DATA, "%s: %s", origin, status_message());
}

static Status tensor_copy(ModelWeights *w, const char *origin, const Parameter *parameter) {
    ModelTensor *t = &w->tensors[w->count++];
    *t = (ModelTensor){.name = arena_strdup(&w->arena, parameter->name),
                       .n_dims = parameter->n_dims,
                       .shape = {parameter->shape[0], parameter->shape[1]}};
    void **place = t->name == NULL ? NULL : names_add(&w->names, &w->arena, t->name);
    if (place == NULL) return no_room(origin);
    *place = t;
    return OK;
}

static void vocabulary_mark(ModelWeights *w, const Parameter *parameter) {
    if (parameter != NULL) model_weights_find(w, parameter->name)->has_vocabulary = true;
}

static Status tensors_copy(ModelWeights *w, const char *origin, const Parameters *parameters,
                           const Model *model) {
    w->tensors = arena_alloc(&w->arena, (size_t)parameters->count * sizeof *w->tensors);
    if (w->tensors == NULL) return no_room(origin);
    for (int i = 0; i < parameters->count; i++) TRY(tensor_copy(w, origin, parameters->list[i]));
    vocabulary_mark(w, model->wte);
    vocabulary_mark(w, model->head);
    for (int64_t i = 0; i < model->config.L; i++)
        vocabulary_mark(w, model->blocks[i].attn.value_embedding);
    w->head = model_weights_find(w, model->head->name);
    return OK;
}

/* The model declares its parameters without memory; their names and shapes are copied. */
static Status tensors_declare(ModelWeights *w, const char *origin) {
    Store *store = NULL;
    Parameters *parameters = NULL;
    Model *model = NULL;
    Status status = store_create(&store);
    if (!failed(status)) status = parameters_create(store, DTYPE_F32, false, &parameters);
    if (!failed(status)) status = model_create(&w->config, parameters, &model);
    if (!failed(status)) status = tensors_copy(w, origin, parameters, model);
    model_destroy(&model);
    parameters_destroy(&parameters);
    store_destroy(&store);
    return status.code == STATUS_CONFIG ? no_room(origin)
                                        : status; /* more than the address space */
}

static Status weights_declare(ModelWeights *w, const char *origin, const ModelConfig *config) {
    TRY(heads_check(origin, config));
    w->config = model_config_complete(*config);
    w->config.Vp = config->V;
    TRY(sizes_check(origin, w));
    TRY(rope_check(origin, &w->config));
    return tensors_declare(w, origin);
}

Status model_weights_create(const char *origin, const ModelConfig *config, ModelWeights **out) {
    ModelWeights *weights = *out = calloc(1, sizeof *weights);
    if (weights == NULL) return no_room(origin);
    Status status = weights_declare(weights, origin, config);
    if (failed(status)) model_weights_destroy(out);
    return status;
}

bool model_has_biases(const ModelConfig *config) {
    return config->bias && config->qkv_bias != QKV_BIAS_FALSE;
}

static Status bias_fill(ModelWeights *biased, const char *origin, const ModelWeights *weights) {
    for (int i = 0; i < biased->count; i++) {
        ModelTensor *t = &biased->tensors[i];
        const ModelTensor *own = model_weights_find(weights, t->name);
        t->data = own != NULL ? own->data
                              : arena_alloc(&biased->arena, (size_t)t->shape[0] * sizeof *t->data);
        if (t->data == NULL) return no_room(origin);
    }
    return OK;
}

Status model_weights_with_biases(const char *origin, const ModelWeights *weights,
                                 ModelWeights **out) {
    ModelConfig config = weights->config;
    config.bias = true;
    config.qkv_bias = QKV_BIAS_AUTO;
    TRY(model_weights_create(origin, &config, out));
    Status status = bias_fill(*out, origin, weights);
    if (failed(status)) model_weights_destroy(out);
    return status;
}

Status model_weights_allocate(ModelWeights *weights, const char *origin) {
    for (int i = 0; i < weights->count; i++) {
        ModelTensor *t = &weights->tensors[i];
        size_t bytes = sizeof *t->data;
        bool fits = true;
        for (int d = 0; d < t->n_dims; d++)
            fits = fits && checked_mul(bytes, (size_t)t->shape[d], &bytes);
        t->data = fits ? arena_alloc(&weights->arena, bytes) : NULL;
        if (t->data == NULL) return no_room(origin);
    }
    return OK;
}

void model_weights_destroy(ModelWeights **weights) {
    if (weights == NULL || *weights == NULL) return;
    arena_free(&(*weights)->arena);
    free(*weights);
    *weights = NULL;
}

ModelTensor *model_weights_find(const ModelWeights *weights, const char *name) {
    void **place = names_find(&weights->names, name, strlen(name));
    return place == NULL ? NULL : *place;
}

int64_t tensor_elements(const ModelTensor *tensor) {
    return tensor->n_dims == 2 ? tensor->shape[0] * tensor->shape[1] : tensor->shape[0];
}

Status values_check_finite(const char *path, const char *tensor, const float *values, int64_t n,
                           int64_t columns) {
    char place[64];
    int64_t i = 0;
    while (i < n && isfinite(values[i])) i++;
    if (i == n) return OK;
    if (columns > 0)
        snprintf(place, sizeof place, "%lld, %lld", (long long)(i / columns),
                 (long long)(i % columns));
    if (columns == 0) snprintf(place, sizeof place, "%lld", (long long)i);
    return ERROR(STATUS_DATA,
                 "%s: tensor '%.100s' is %s at [%s]; weights are finite: take another copy, or an "
                 "earlier checkpoint",
                 path, tensor,
                 isnan(values[i]) ? "nan"
                 : values[i] > 0  ? "inf"
                                  : "-inf",
                 place);
}

void values_transpose(const float *from, int64_t rows, int64_t columns, float *to) {
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j];
    }
}
