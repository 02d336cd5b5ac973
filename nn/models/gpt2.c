#include "nn/models/gpt2.h"

#include "core/ops/dropout.h"
#include "core/ops/embedding.h"

#include <stdlib.h>

static Status table_create(Parameters *parameters, const char *name, int64_t rows,
                           int64_t init_rows, int64_t C, Parameter **out) {
    Parameter table = {.name = name,
                       .n_dims = 2,
                       .shape = {rows, C},
                       .init = INIT_NORMAL,
                       .std = 0.02,
                       .init_rows = init_rows,
                       .is_table = true};
    return parameters_add(parameters, table, out);
}

static Status parameters_declare(Gpt *gpt, Parameters *parameters) {
    const GptConfig *c = &gpt->config;
    TRY(table_create(parameters, "wte.weight", c->Vp, c->V, c->C, &gpt->wte));
    TRY(table_create(parameters, "wpe.weight", c->T, c->T, c->C, &gpt->wpe));
    for (int i = 0; i < c->L; i++)
        TRY(block_create(parameters, i, c->C, c->NH, c->L, c->bias, &gpt->blocks[i]));
    TRY(layernorm_create(parameters, "ln_f", c->C, c->bias, &gpt->ln_f));
    return parameters_layout(parameters);
}

Status gpt_create(const GptConfig *config, Parameters *parameters, Gpt **out) {
    *out = calloc(1, sizeof **out);
    Block *blocks = calloc((size_t)config->L + 1, sizeof *blocks);
    if (*out == NULL || blocks == NULL) {
        free(blocks);
        return ERROR(STATUS_NO_ROOM, "out of memory while building the model");
    }
    **out = (Gpt){.config = *config, .blocks = blocks};
    return parameters_declare(*out, parameters);
}

void gpt_destroy(Gpt **gpt) {
    if (gpt == NULL || *gpt == NULL) return;
    free((*gpt)->blocks);
    free(*gpt);
    *gpt = NULL;
}

Tensor *gpt_forward(Program *p, const Gpt *gpt, Tensor *tokens, const ForwardContext *context) {
    program_label(p, "embedding");
    Tensor *embedded = embedding_record(p, tokens, gpt->wte->weight, gpt->wpe->weight);
    Residual x = {.sum = dropout_record(p, embedded, context->dropout, context->step)};
    for (int64_t i = 0; i < gpt->config.L; i++) block_forward(p, &gpt->blocks[i], &x, context);
    program_label(p, "ln_f");
    return layernorm_forward(p, &gpt->ln_f, &x);
}

double gpt_flops_per_token(const Gpt *gpt, const Parameters *parameters) {
    const GptConfig *c = &gpt->config;
    double N = (double)(parameters_count(parameters) - c->T * c->C);
    return 6.0 * N + 12.0 * (double)(c->L * c->C * c->T);
}
