#include "launch/run/recorded.h"

#include "nn/optim/groups.h"
#include "nn/optim/muon.h"

#include <math.h>

enum { LOGITS_BYTES_CPU = 64 << 20, LOGITS_BYTES_CUDA = 512 << 20 };

DType config_dtype(const Config *config) {
    switch (config->training.dtype) {
    case CONFIG_DTYPE_FLOAT64: return DTYPE_F64;
    case CONFIG_DTYPE_BFLOAT16: return DTYPE_BF16;
    case CONFIG_DTYPE_FLOAT16: return DTYPE_F16;
    case CONFIG_DTYPE_FLOAT32:
    case CONFIG_DTYPE_TF32: break;
    }
    return DTYPE_F32;
}

static Recompute recompute_of(const Config *config) {
    switch (config->training.recompute) {
    case CONFIG_RECOMPUTE_BLOCK: return RECOMPUTE_BLOCK;
    case CONFIG_RECOMPUTE_GELU: return RECOMPUTE_GELU;
    case CONFIG_RECOMPUTE_NONE: break;
    }
    return RECOMPUTE_NONE;
}

static TrainingOptions options_of(const PlanInput *input) {
    const Config *config = input->config;
    const ConfigOptimizer *o = &config->optimizer;
    bool on_cpu = input->target.kind == DEVICE_CPU;
    return (TrainingOptions){
        .B = input->B,
        .T = input->model.T,
        .accumulation = input->evaluates ? 0 : config->training.gradient_accumulation_steps,
        .ranks = input->sharding.ranks,
        .attention = &input->attention,
        .document_mask = config->attention.document_mask,
        .end_of_text = (int32_t)input->end_of_text,
        .recompute = recompute_of(config),
        .logits_bytes = on_cpu ? LOGITS_BYTES_CPU : LOGITS_BYTES_CUDA,
        .clip = o->grad_clip,
        .collectives = input->collectives,
        .embedding_rows = !on_cpu,
    };
}

static OptimizerOptions muon_options(const ConfigMuon *m) {
    return (OptimizerOptions){.beta2 = m->beta2,
                              .muon = {.momentum = m->momentum,
                                       .momentum_start = m->momentum_start,
                                       .momentum_warmup = m->momentum_warmup,
                                       .nesterov = m->nesterov,
                                       .cautious = m->cautious,
                                       .iteration = m->iteration}};
}

/* Replaces what the config sets for a kind of parameter. */
static void group_override(GroupOptions *kind, const ConfigGroup *group, double lr) {
    if (!isnan(group->lr)) kind->lr_scale = group->lr / lr;
    if (!isnan(group->weight_decay)) kind->weight_decay = group->weight_decay;
    if (isnan(group->betas[0])) return;
    kind->options.beta1 = group->betas[0];
    kind->options.beta2 = group->betas[1];
}

/* 0.5^(tokens a step / half-life), or the config's. */
static double beta2_of(const PlanInput *input) {
    const ConfigOptimizer *o = &input->config->optimizer;
    if (o->beta2_half_life == 0) return o->betas[1];
    double tokens = (double)(input->B * input->model.T * input->sharding.ranks *
                             input->config->training.gradient_accumulation_steps);
    return exp2(-tokens / (double)o->beta2_half_life);
}

Status recorded_add_groups(const PlanInput *input, Parameters *parameters) {
    const ConfigOptimizer *o = &input->config->optimizer;
    const ConfigMuon *m = &o->muon;
    OptimizerOptions options = {.beta1 = o->betas[0], .beta2 = beta2_of(input), .eps = o->eps};
    GroupOptions kinds[PARAMETER_KINDS];
    groups_adamw(kinds, options, o->weight_decay);
    group_override(&kinds[PARAMETER_EMBEDDING], &o->embeddings, o->lr);
    group_override(&kinds[PARAMETER_HEAD], &o->head, o->lr);
    group_override(&kinds[PARAMETER_VECTOR], &o->vectors, o->lr);
    if (o->matrices == CONFIG_MATRICES_MUON)
        kinds[PARAMETER_MATRIX] =
            (GroupOptions){.optimizer = m->normuon ? &normuon_optimizer : &muon_optimizer,
                           .options = muon_options(m),
                           .lr_scale = m->lr / o->lr,
                           .weight_decay = m->weight_decay};
    return groups_add(parameters, kinds);
}

Status recorded_create(const PlanInput *input, Recorded *out) {
    DType dtype = config_dtype(input->config);
    TrainingOptions options = options_of(input);
    *out = (Recorded){0};
    TRY(store_create(&out->store));
    TRY(parameters_create(out->store, dtype, !input->evaluates, &out->parameters));
    out->parameters->sharding = input->sharding;
    if (!input->evaluates) TRY(recorded_add_groups(input, out->parameters));
    TRY(model_create(&input->model, out->parameters, &out->model));
    TRY(step_tensors_create(out->store, input->B, input->model.T, dtype, &out->step));
    return training_create(out->model, out->parameters, &out->step, input->target, &options,
                           &out->training);
}

void recorded_destroy(Recorded *recorded) {
    training_destroy(&recorded->training);
    model_destroy(&recorded->model);
    parameters_destroy(&recorded->parameters);
    store_destroy(&recorded->store);
}
