#include "nn/models/gpt2.h"

#include "core/ops/dropout.h"
#include "core/ops/embedding.h"

#include <stddef.h>
#include <stdlib.h>

typedef struct Gpt2 {
    Parameter *wte, *wpe; /* (Vp, C), (T, C) */
    Block *blocks;        /* L of them */
    LayerNorm ln_f;
} Gpt2;

static Status embedding_create(Parameters *parameters, const char *name, int64_t rows,
                               int64_t init_rows, int64_t C, Parameter **out) {
    Parameter embedding = {.name = name,
                           .n_dims = 2,
                           .shape = {rows, C},
                           .init = INIT_NORMAL,
                           .std = 0.02,
                           .init_rows = init_rows,
                           .is_embedding = true};
    return parameters_add(parameters, embedding, out);
}

static Status gpt2_declare(Model *model, Parameters *parameters) {
    const ModelConfig *c = &model->config;
    Gpt2 *gpt = model->layers;
    TRY(embedding_create(parameters, "wte.weight", c->Vp, c->V, c->C, &gpt->wte));
    TRY(embedding_create(parameters, "wpe.weight", c->T, c->T, c->C, &gpt->wpe));
    for (int i = 0; i < c->L; i++)
        TRY(block_create(parameters, i, c->C, c->NH, c->L, c->bias, &gpt->blocks[i]));
    model->head = gpt->wte;
    return layernorm_create(parameters, "ln_f", c->C, c->bias, &gpt->ln_f);
}

static Status gpt2_create(Model *model, Parameters *parameters) {
    Gpt2 *gpt = model->layers = calloc(1, sizeof *gpt);
    if (gpt != NULL) gpt->blocks = calloc((size_t)model->config.L + 1, sizeof *gpt->blocks);
    if (gpt == NULL || gpt->blocks == NULL)
        return ERROR(STATUS_NO_ROOM, "out of memory while building the model");
    return gpt2_declare(model, parameters);
}

static void gpt2_destroy(Model *model) {
    Gpt2 *gpt = model->layers;
    if (gpt != NULL) free(gpt->blocks);
    free(gpt);
}

static Tensor *gpt2_forward(Program *p, const Model *model, Tensor *tokens,
                            const ForwardContext *context) {
    const Gpt2 *gpt = model->layers;
    program_label(p, "embedding");
    Tensor *embedded = embedding_record(p, tokens, gpt->wte->weight, gpt->wpe->weight);
    Residual x = {.sum = dropout_record(p, embedded, context->dropout, context->step)};
    for (int64_t i = 0; i < model->config.L; i++) block_forward(p, &gpt->blocks[i], &x, context);
    program_label(p, "ln_f");
    return layernorm_forward(p, &gpt->ln_f, &x);
}

/* 6 N + 12 L NH HS T, N without wpe. Source: Chowdhery et al., arXiv:2204.02311, appendix B. */
static double gpt2_flops_per_token(const Model *model, const Parameters *parameters) {
    const ModelConfig *c = &model->config;
    double N = (double)(parameters_count(parameters) - c->T * c->C);
    return 6.0 * N + 12.0 * (double)(c->L * c->C * c->T);
}

#define SIZE(field) offsetof(ModelConfig, field)

/* Hugging Face's linear layers are Conv1D. */
static const ParameterNames names[] = {
    {.name = "wte.weight", .sizes = {SIZE(V), SIZE(C)}},
    {.name = "wpe.weight", .sizes = {SIZE(T), SIZE(C)}},
    {.name = "h.#.ln_1.weight"},
    {.name = "h.#.ln_1.bias"},
    {.name = "h.#.attn.c_attn.weight", .is_transposed = true},
    {.name = "h.#.attn.c_attn.bias"},
    {.name = "h.#.attn.c_proj.weight", .is_transposed = true},
    {.name = "h.#.attn.c_proj.bias"},
    {.name = "h.#.ln_2.weight"},
    {.name = "h.#.ln_2.bias"},
    {.name = "h.#.mlp.c_fc.weight", .is_transposed = true},
    {.name = "h.#.mlp.c_fc.bias"},
    {.name = "h.#.mlp.c_proj.weight", .is_transposed = true},
    {.name = "h.#.mlp.c_proj.bias"},
    {.name = "ln_f.weight"},
    {.name = "ln_f.bias"},
};

/* The causal mask, which some versions of `transformers` save with the weights. */
static const char *const buffers[] = {".attn.bias", ".attn.masked_bias", NULL};

const ModelFamily gpt2_family = {
    .name = "gpt2",
    .title = "GPT-2",
    .create = gpt2_create,
    .destroy = gpt2_destroy,
    .forward = gpt2_forward,
    .flops_per_token = gpt2_flops_per_token,
    .parameters = names,
    .n_parameters = sizeof names / sizeof *names,
    .hugging_face_prefix = "transformer.",
    .hugging_face_ignored = buffers,
};
