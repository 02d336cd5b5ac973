#include "nn/layers.h"

#include "core/ops/dropout.h"
#include "core/ops/gelu.h"
#include "core/ops/linear.h"
#include "core/ops/norm.h"
#include "core/passes/recompute.h"

#include <math.h>
#include <stdio.h>

static Tensor *weight_of(const Parameter *parameter) {
    return parameter == NULL ? NULL : parameter->weight;
}

static Status vector_create(Parameters *parameters, const char *name, const char *what, int64_t N,
                            ParameterInit init, Parameter **out) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", name, what);
    return parameters_add(
        parameters,
        (Parameter){.name = full, .n_dims = 1, .shape = {N}, .init = init, .init_rows = N}, out);
}

Status linear_create(Parameters *parameters, const char *name, int64_t N, int64_t K, double std,
                     bool bias, Linear *out) {
    char full[128];
    snprintf(full, sizeof full, "%s.weight", name);
    *out = (Linear){0};
    Parameter weight = {.name = full,
                        .n_dims = 2,
                        .shape = {N, K},
                        .init = INIT_NORMAL,
                        .std = std,
                        .init_rows = N};
    TRY(parameters_add(parameters, weight, &out->weight));
    return bias ? vector_create(parameters, name, "bias", N, INIT_ZEROS, &out->bias) : OK;
}

Status layernorm_create(Parameters *parameters, const char *name, int64_t C, bool bias,
                        LayerNorm *out) {
    *out = (LayerNorm){0};
    TRY(vector_create(parameters, name, "weight", C, INIT_ONES, &out->weight));
    return bias ? vector_create(parameters, name, "bias", C, INIT_ZEROS, &out->bias) : OK;
}

Status block_create(Parameters *parameters, int index, int64_t C, int64_t NH, int64_t L, bool bias,
                    Block *out) {
    const double std = 0.02, residual_std = 0.02 / sqrt(2.0 * (double)L);
    char name[64];
#define NAMED(suffix) (snprintf(name, sizeof name, "h.%d." suffix, index), name)
    *out = (Block){.index = index, .attn.NH = NH};
    TRY(layernorm_create(parameters, NAMED("ln_1"), C, bias, &out->ln_1));
    TRY(linear_create(parameters, NAMED("attn.c_attn"), 3 * C, C, std, bias, &out->attn.c_attn));
    for (int i = 0; i < 3; i++) out->attn.c_attn.weight->splits[i] = C; /* q, k, v */
    TRY(linear_create(parameters, NAMED("attn.c_proj"), C, C, residual_std, bias,
                      &out->attn.c_proj));
    TRY(layernorm_create(parameters, NAMED("ln_2"), C, bias, &out->ln_2));
    TRY(linear_create(parameters, NAMED("mlp.c_fc"), 4 * C, C, std, bias, &out->mlp.c_fc));
    TRY(linear_create(parameters, NAMED("mlp.c_proj"), C, 4 * C, residual_std, bias,
                      &out->mlp.c_proj));
#undef NAMED
    return OK;
}

Tensor *linear_forward(Program *p, const Linear *linear, Tensor *x) {
    return linear_record(p, x, weight_of(linear->weight), weight_of(linear->bias), false);
}

Tensor *layernorm_forward(Program *p, const LayerNorm *ln, Residual *residual) {
    Tensor *sum = NULL;
    Tensor *y = norm_record(p, residual->sum, residual->branch, weight_of(ln->weight),
                            weight_of(ln->bias), (NormOptions){NORM_LAYER, 1e-5}, &sum);
    *residual = (Residual){.sum = sum};
    return y;
}

Tensor *attn_forward(Program *p, const Attention *attn, Tensor *x, const ForwardContext *context) {
    AttentionOptions options = {context->attention, context->dropout, context->step,
                                context->documents};
    Tensor *qkv = linear_forward(p, &attn->c_attn, x);
    Tensor *y = linear_forward(p, &attn->c_proj, attention_record(p, qkv, attn->NH, &options));
    return dropout_record(p, y, context->dropout, context->step);
}

Tensor *mlp_forward(Program *p, const Mlp *mlp, Tensor *x, const ForwardContext *context) {
    bool apart = context->recompute == RECOMPUTE_GELU;
    Tensor *hidden =
        linear_record(p, x, weight_of(mlp->c_fc.weight), weight_of(mlp->c_fc.bias), !apart);
    const Node *before = recompute_begin(p);
    if (apart) hidden = gelu_record(p, hidden);
    Tensor *y = linear_forward(p, &mlp->c_proj, hidden);
    if (apart) recompute_end(p, before);
    return dropout_record(p, y, context->dropout, context->step);
}

void block_forward(Program *p, const Block *block, Residual *x, const ForwardContext *context) {
    const Node *before = recompute_begin(p);
    program_label(p, "h.%d.attn", block->index);
    x->branch = attn_forward(p, &block->attn, layernorm_forward(p, &block->ln_1, x), context);
    program_label(p, "h.%d.mlp", block->index);
    x->branch = mlp_forward(p, &block->mlp, layernorm_forward(p, &block->ln_2, x), context);
    if (context->recompute == RECOMPUTE_BLOCK) recompute_end(p, before);
}
