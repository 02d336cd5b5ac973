#include "nn/layers.h"

#include "core/ops/add.h"
#include "core/ops/dropout.h"
#include "core/ops/embedding.h"
#include "core/ops/gated.h"
#include "core/ops/gelu.h"
#include "core/ops/linear.h"
#include "core/ops/linear_f8.h"
#include "core/ops/mix.h"
#include "core/ops/norm.h"
#include "core/ops/qk.h"
#include "core/ops/relu2.h"
#include "core/ops/short_conv.h"
#include "core/ops/value_embedding.h"
#include "core/passes/recompute.h"

#include <math.h>
#include <stdio.h>

static Tensor *weight_of(const Parameter *parameter) {
    return parameter == NULL ? NULL : parameter->weight;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static Status vector_create(Parameters *parameters, const char *name, const char *what, int64_t N,
                            ParameterInit init, Parameter **out) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", name, what);
    return parameters_add(
        parameters,
        (Parameter){.name = full, .n_dims = 1, .shape = {N}, .init = init, .init_rows = N}, out);
}

/* s of x = s[0] x + s[1] x0, initially 1 and 0. */
static Status scalars_create(Parameters *parameters, const char *name, Parameter **out) {
    Parameter scalars = {
        .name = name, .n_dims = 1, .shape = {2}, .init = INIT_FIRST, .init_rows = 2};
    return parameters_add(parameters, scalars, out);
}

Status linear_create(Parameters *parameters, const char *name, int64_t N, int64_t K, double std,
                     bool bias, Linear *out) {
    char full[128];
    snprintf(full, sizeof full, "%s.weight", name);
    *out = (Linear){0};
    Parameter weight = {.name = full,
                        .n_dims = 2,
                        .shape = {N, K},
                        .init = std == 0 ? INIT_ZEROS : INIT_NORMAL,
                        .std = std,
                        .init_rows = N};
    TRY(parameters_add(parameters, weight, &out->weight));
    return bias ? vector_create(parameters, name, "bias", N, INIT_ZEROS, &out->bias) : OK;
}

Status norm_create(Parameters *parameters, const char *name, const ModelConfig *config, Norm *out) {
    bool bias = config->norm == MODEL_LAYERNORM && config->norm_weight && config->bias;
    *out = (Norm){0};
    if (config->norm_weight)
        TRY(vector_create(parameters, name, "weight", config->C, INIT_ONES, &out->weight));
    return bias ? vector_create(parameters, name, "bias", config->C, INIT_ZEROS, &out->bias) : OK;
}

static Status value_embedding_create(Parameters *parameters, const char *name,
                                     const ModelConfig *config, Attention *out) {
    Parameter embedding = {.name = name,
                           .n_dims = 2,
                           .shape = {config->Vp, config->NH_kv * config->HS},
                           .init = INIT_NORMAL,
                           .std = config->embedding_std,
                           .init_rows = config->V};
    return parameters_add(parameters, embedding, &out->value_embedding);
}

static Status short_conv_create(Parameters *parameters, ConvPlace place, int index,
                                const ModelConfig *config, ShortConv *out) {
    static const char *const names[] = {
        [CONV_ATTENTION] = "attn", [CONV_QKV] = "attn.c_attn", [CONV_MLP] = "mlp"};
    int64_t taps = config->short_conv[place];
    char name[64];
    *out = (ShortConv){.place = place, .layer = index};
    if (taps == 0) return OK;
    snprintf(name, sizeof name, "h.%d.%s.short_conv.weight", index, names[place]);
    Parameter weight = {.name = name,
                        .n_dims = 2,
                        .shape = {taps, model_conv_columns(config, place)},
                        .init = INIT_ZEROS,
                        .init_rows = taps};
    return parameters_add(parameters, weight, &out->weight);
}

static Status attn_create(Parameters *parameters, int index, const ModelConfig *config,
                          double residual_std, Attention *out) {
    char name[64];
#define NAMED(suffix) (snprintf(name, sizeof name, "h.%d.attn" suffix, index), name)
    int64_t HS = config->HS;
    out->layer = index;
    out->window = layer_pattern_at(&config->window, index);
    TRY(short_conv_create(parameters, CONV_ATTENTION, index, config, &out->conv));
    TRY(linear_create(parameters, NAMED(".c_attn"), model_qkv_columns(config), config->C,
                      config->linear_std, config->qkv_bias == QKV_BIAS_TRUE, &out->c_attn));
    int64_t *splits = out->c_attn.weight->splits; /* q, k, v */
    splits[0] = config->NH * HS, splits[1] = splits[2] = config->NH_kv * HS;
    TRY(short_conv_create(parameters, CONV_QKV, index, config, &out->qkv_conv));
    if (config->qk_norm && config->qk_norm_weight) {
        TRY(vector_create(parameters, NAMED(""), "q_norm.weight", HS, INIT_ONES, &out->q_norm));
        TRY(vector_create(parameters, NAMED(""), "k_norm.weight", HS, INIT_ONES, &out->k_norm));
    }
    if (layer_pattern_at(&config->value_embeddings, index) != 0) {
        TRY(value_embedding_create(parameters, NAMED(".value_embedding.weight"), config, out));
        TRY(vector_create(parameters, NAMED(""), "value_gate", config->NH_kv, INIT_ZEROS,
                          &out->value_gate));
    }
    return linear_create(parameters, NAMED(".c_proj"), config->C, config->NH * HS, residual_std,
                         config->bias, &out->c_proj);
#undef NAMED
}

Status block_create(Parameters *parameters, int index, const ModelConfig *config, Block *out) {
    double residual_std =
        config->zero_init ? 0 : config->linear_std / sqrt(2.0 * (double)config->L);
    int64_t C = config->C, hidden = config->F * (model_mlp_is_gated(config->mlp) ? 2 : 1);
    char name[64];
#define NAMED(suffix) (snprintf(name, sizeof name, "h.%d" suffix, index), name)
    *out = (Block){0};
    if (config->residual_scalars) TRY(scalars_create(parameters, NAMED(".scalars"), &out->scalars));
    TRY(norm_create(parameters, NAMED(".ln_1"), config, &out->ln_1));
    TRY(attn_create(parameters, index, config, residual_std, &out->attn));
    if (config->block == BLOCK_SEQUENTIAL)
        TRY(norm_create(parameters, NAMED(".ln_2"), config, &out->ln_2));
    TRY(short_conv_create(parameters, CONV_MLP, index, config, &out->mlp.conv));
    TRY(linear_create(parameters, NAMED(".mlp.c_fc"), hidden, C, config->linear_std, config->bias,
                      &out->mlp.c_fc));
    if (model_mlp_is_gated(config->mlp)) {
        int64_t *splits = out->mlp.c_fc.weight->splits; /* gate, up */
        splits[0] = splits[1] = config->F;
    }
    return linear_create(parameters, NAMED(".mlp.c_proj"), C, config->F, residual_std, config->bias,
                         &out->mlp.c_proj);
#undef NAMED
}

/* ---- forward --------------------------------------------------------------------------------- */

/* Programs that do not train have no eight-bit products. */
static bool is_eight_bit(const Program *p, const Linear *linear) {
    return p->training && linear->weight->layer != NULL;
}

Tensor *linear_forward(Program *p, const Linear *linear, Tensor *x) {
    Tensor *w = weight_of(linear->weight), *bias = weight_of(linear->bias);
    if (is_eight_bit(p, linear)) return linear_f8_record(p, x, w, bias, linear->weight->layer);
    return linear_record(p, x, w, bias, false);
}

Tensor *norm_forward(Program *p, const Norm *norm, const ModelConfig *config, Residual *residual) {
    NormOptions options = {config->norm == MODEL_RMSNORM ? NORM_RMS : NORM_LAYER, config->norm_eps};
    Tensor *sum = NULL;
    Tensor *y = norm_record(p, residual->sum, residual->branch, weight_of(norm->weight),
                            weight_of(norm->bias), options, &sum);
    residual->sum = sum;
    residual->branch = NULL;
    return y;
}

static Tensor *short_conv_forward(Program *p, const ShortConv *conv, Tensor *x,
                                  const ForwardContext *context) {
    const KvTokens *cached = context->cached;
    Tensor *w = weight_of(conv->weight);
    if (w == NULL) return x;
    if (cached == NULL) return short_conv_record(p, x, w, context->documents);
    return short_conv_cached_record(p, x, w, cached->positions, cached->count,
                                    cached->cache->past[conv->place][conv->layer]);
}

/* q, k and v as attention reads them: convolved, with the value embedding, normed and rotated. */
static Tensor *qkv_forward(Program *p, const Attention *attn, const ModelConfig *config, Tensor *x,
                           const ForwardContext *context) {
    int64_t NH = config->NH, NH_kv = config->NH_kv, HS = config->HS;
    Tensor *qkv = linear_forward(p, &attn->c_attn, short_conv_forward(p, &attn->conv, x, context));
    qkv = short_conv_forward(p, &attn->qkv_conv, qkv, context);
    if (attn->value_embedding != NULL) {
        Tensor *e = embedding_record(p, context->tokens, attn->value_embedding->weight, NULL);
        qkv = value_embedding_record(p, qkv, e, attn->value_gate->weight, NH, NH_kv, HS);
    }
    if (!config->qk_norm && context->rope_table == NULL) return qkv;
    QkOptions options = {NH, NH_kv, HS, config->qk_norm, config->norm_eps};
    return qk_record(p, qkv, context->rope_table, weight_of(attn->q_norm), weight_of(attn->k_norm),
                     &options);
}

int64_t attn_window(const Attention *attn, const LayerPattern *windows) {
    return windows == NULL ? attn->window : layer_pattern_at(windows, attn->layer);
}

Tensor *attn_forward(Program *p, const Attention *attn, const ModelConfig *config, Tensor *x,
                     const ForwardContext *context) {
    AttentionOptions options = {.choice = context->attention,
                                .NH = config->NH,
                                .NH_kv = config->NH_kv,
                                .window = attn_window(attn, context->windows),
                                .scale = config->attention_scale,
                                .softcap = config->attention_softcap,
                                .dropout = context->dropout,
                                .step = context->step,
                                .documents = context->documents};
    Tensor *qkv = qkv_forward(p, attn, config, x, context);
    Tensor *heads = context->cached == NULL
                        ? attention_record(p, qkv, &options)
                        : kv_cache_attention_record(p, context->cached, attn->layer, qkv, &options);
    Tensor *y = linear_forward(p, &attn->c_proj, heads);
    return dropout_record(p, y, context->dropout, context->step);
}

static Tensor *activation_record(Program *p, ModelMlp mlp, Tensor *x) {
    switch (mlp) {
    case MLP_SWIGLU: return gated_record(p, x, GATED_SILU);
    case MLP_GEGLU: return gated_record(p, x, GATED_GELU);
    case MLP_RELU2: return relu2_record(p, x);
    case MLP_GELU: break;
    }
    return gelu_record(p, x);
}

/* The product computes a GELU itself, unless backward is to recompute it or the product has eight
 * bits. */
Tensor *mlp_forward(Program *p, const Mlp *mlp, const ModelConfig *config, Tensor *x,
                    const ForwardContext *context) {
    x = short_conv_forward(p, &mlp->conv, x, context);
    bool recomputes = context->recompute == RECOMPUTE_GELU,
         fuses = config->mlp == MLP_GELU && !recomputes && !is_eight_bit(p, &mlp->c_fc);
    Tensor *hidden =
        fuses ? linear_record(p, x, weight_of(mlp->c_fc.weight), weight_of(mlp->c_fc.bias), true)
              : linear_forward(p, &mlp->c_fc, x);
    const Node *before = recompute_begin(p);
    if (!fuses) hidden = activation_record(p, config->mlp, hidden);
    Tensor *y = linear_forward(p, &mlp->c_proj, hidden);
    if (recomputes) recompute_end(p, before);
    return dropout_record(p, y, context->dropout, context->step);
}

/* Both branches read one norm. */
static void parallel_forward(Program *p, const Block *block, const ModelConfig *config, Residual *x,
                             const ForwardContext *context) {
    Tensor *n = norm_forward(p, &block->ln_1, config, x);
    Tensor *attended = attn_forward(p, &block->attn, config, n, context);
    program_label(p, "h.%d.mlp", block->attn.layer);
    x->branch = add_record(p, attended, mlp_forward(p, &block->mlp, config, n, context));
}

static void sequential_forward(Program *p, const Block *block, const ModelConfig *config,
                               Residual *x, const ForwardContext *context) {
    x->branch =
        attn_forward(p, &block->attn, config, norm_forward(p, &block->ln_1, config, x), context);
    program_label(p, "h.%d.mlp", block->attn.layer);
    x->branch =
        mlp_forward(p, &block->mlp, config, norm_forward(p, &block->ln_2, config, x), context);
}

static void scalars_forward(Program *p, const Block *block, Residual *x) {
    if (block->scalars == NULL) return;
    Tensor *sum = x->branch == NULL ? x->sum : add_record(p, x->sum, x->branch);
    x->sum = mix_record(p, sum, x->first, block->scalars->weight);
    x->branch = NULL;
}

void block_forward(Program *p, const Block *block, const ModelConfig *config, Residual *x,
                   const ForwardContext *context) {
    const Node *before = recompute_begin(p);
    program_label(p, "h.%d.attn", block->attn.layer);
    scalars_forward(p, block, x);
    if (config->block == BLOCK_PARALLEL)
        parallel_forward(p, block, config, x, context);
    else
        sequential_forward(p, block, config, x, context);
    if (context->recompute == RECOMPUTE_BLOCK) recompute_end(p, before);
}
