#include "nn/model.h"

#include "core/ops/add.h"
#include "core/ops/dropout.h"
#include "core/ops/embedding.h"
#include "core/ops/norm.h"
#include "core/ops/rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static Status embedding_create(Parameters *parameters, const char *name, int64_t rows,
                               int64_t init_rows, int64_t C, double std, Parameter **out) {
    Parameter embedding = {.name = name,
                           .n_dims = 2,
                           .shape = {rows, C},
                           .init = INIT_NORMAL,
                           .std = std,
                           .init_rows = init_rows,
                           .is_embedding = true};
    return parameters_add(parameters, embedding, out);
}

static Status head_create(Parameters *parameters, const ModelConfig *c, Model *model) {
    Linear head;
    model->head = model->wte;
    if (c->tie_embeddings) return OK;
    TRY(linear_create(parameters, "lm_head", c->Vp, c->C, c->zero_init ? 0 : c->linear_std, false,
                      &head));
    head.weight->init_rows = c->V;
    model->head = head.weight;
    return OK;
}

static Status parameters_declare(Parameters *parameters, Model *model) {
    const ModelConfig *c = &model->config;
    TRY(embedding_create(parameters, "wte.weight", c->Vp, c->V, c->C, c->embedding_std,
                         &model->wte));
    if (c->position == POSITION_LEARNED)
        TRY(embedding_create(parameters, "wpe.weight", c->T, c->T, c->C, 0.02, &model->wpe));
    for (int i = 0; i < c->L; i++) TRY(block_create(parameters, i, c, &model->blocks[i]));
    TRY(norm_create(parameters, "ln_f", c, &model->ln_f));
    return head_create(parameters, c, model);
}

Status model_create(const ModelConfig *config, Parameters *parameters, Model **out) {
    Model *model = *out = calloc(1, sizeof *model);
    if (model != NULL) model->blocks = calloc((size_t)config->L + 1, sizeof *model->blocks);
    if (model == NULL || model->blocks == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory while building the model");
    model->config = model_config_complete(*config);
    TRY(parameters_declare(parameters, model));
    return parameters_layout(parameters);
}

void model_destroy(Model **model) {
    if (model == NULL || *model == NULL) return;
    free((*model)->blocks);
    free(*model);
    *model = NULL;
}

/* A row per position, or per token of a program with a cache. */
static Tensor *rope_record(Program *p, const ModelConfig *c, const KvTokens *cached, DType dtype) {
    if (c->position != POSITION_ROPE) return NULL;
    Tensor *positions = cached == NULL ? NULL : cached->positions;
    int64_t rows = positions == NULL ? c->T : tensor_count(positions);
    RopeFrequencies frequencies;
    program_check(p, rope_frequencies(&c->rope, c->HS, &frequencies));
    return rope_table_record(p, &frequencies, positions, rows, dtype_wide(dtype));
}

/* The rows of wte with those of wpe. */
static Tensor *rows_record(Program *p, const Model *model, const ForwardContext *context) {
    Tensor *wte = model->wte->weight, *wpe = model->wpe == NULL ? NULL : model->wpe->weight;
    if (wpe == NULL || context->cached == NULL)
        return embedding_record(p, context->tokens, wte, wpe);
    return add_record(p, embedding_record(p, context->tokens, wte, NULL),
                      embedding_record(p, context->cached->positions, wpe, NULL));
}

/* These rows, normalized, dropped. */
static Tensor *embeddings_record(Program *p, const Model *model, const ForwardContext *context) {
    const ModelConfig *c = &model->config;
    Tensor *x = rows_record(p, model, context);
    if (c->embedding_norm) {
        Tensor *sum = NULL;
        x = norm_record(p, x, NULL, NULL, NULL, (NormOptions){NORM_RMS, c->norm_eps}, &sum);
    }
    return dropout_record(p, x, context->dropout, context->step);
}

Tensor *model_forward(Program *p, const Model *model, Tensor *tokens,
                      const ForwardContext *context) {
    const ModelConfig *c = &model->config;
    ForwardContext shared = *context;
    program_label(p, "embedding");
    shared.tokens = tokens;
    shared.rope_table = rope_record(p, c, context->cached, model->wte->weight->dtype);
    Residual x = {.sum = embeddings_record(p, model, &shared)};
    x.first = x.sum;
    for (int64_t i = 0; i < c->L; i++) block_forward(p, &model->blocks[i], c, &x, &shared);
    program_label(p, "ln_f");
    return norm_forward(p, &model->ln_f, c, &x);
}

void model_logits_row(const ModelConfig *c, const float *padded, float *out) {
    float cap = (float)c->logit_softcap;
    if (cap == 0) memmove(out, padded, (size_t)c->V * sizeof *out);
    for (int64_t v = 0; v < c->V && cap != 0; v++) out[v] = cap * tanhf(padded[v] / cap);
}

/* The parameters that no product reads. */
static int64_t looked_up(const Model *model) {
    const ModelConfig *c = &model->config;
    int64_t n = model->wpe == NULL ? 0 : c->T * c->C;
    if (!c->tie_embeddings) n += c->V * c->C;
    for (int64_t i = 0; i < c->L; i++) {
        if (model->blocks[i].attn.value_embedding != NULL) n += c->V * c->NH_kv * c->HS;
    }
    return n;
}

double model_flops_per_token(const Model *model, const Parameters *parameters,
                             const LayerPattern *windows) {
    const ModelConfig *c = &model->config;
    int64_t keys = 0;
    for (int64_t i = 0; i < c->L; i++) {
        int64_t window = attn_window(&model->blocks[i].attn, windows);
        keys += window == 0 || window > c->T ? c->T : window;
    }
    double N = (double)(parameters_count(parameters) - looked_up(model));
    return 6.0 * N + 12.0 * (double)(c->NH * c->HS) * (double)keys;
}
