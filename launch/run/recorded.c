#include "launch/run/recorded.h"

#include "launch/run/config_groups.h"

enum { LOGITS_BYTES_CPU = 64 << 20, LOGITS_BYTES_CUDA = 512 << 20, SAMPLE_PROMPT = 8 };

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

/* Tokens of a micro-batch on all ranks. */
static int64_t micro_tokens(const PlanInput *input) {
    return input->B * input->model.T * input->sharding.ranks;
}

static TrainingOptions options_of(const PlanInput *input, const Phases *phases) {
    const Config *config = input->config;
    const ConfigOptimizer *o = &config->optimizer;
    bool on_cpu = input->target.kind == DEVICE_CPU;
    return (TrainingOptions){
        .B = input->B,
        .T = input->model.T,
        .ranks = input->sharding.ranks,
        .phases = phases->list,
        .n_phases = input->evaluates ? 0 : phases->count,
        .attention = &input->attention,
        .document_mask = config->attention.document_mask,
        .end_of_text = (int32_t)input->end_of_text,
        .recompute = recompute_of(config),
        .logits_bytes = on_cpu ? LOGITS_BYTES_CPU : LOGITS_BYTES_CUDA,
        .clip = o->grad_clip,
        .collectives = input->collectives,
        .embedding_rows = !on_cpu,
        .measures_noise = config->noise_scale.interval > 0,
    };
}

Phases plan_phases(const PlanInput *input) { return phases_of(input->config, micro_tokens(input)); }

/* `tokens` of the first step. */
static Float8Options float8_of(const PlanInput *input, double tokens) {
    const ConfigFloat8 *config = &input->config->training.fp8;
    Float8Options options = {.head = config->head,
                             .gradient = config->gradient == CONFIG_FLOAT8_E4M3 ? DTYPE_F8E4M3
                                                                                : DTYPE_F8E5M2,
                             .is_delayed = config->scaling == CONFIG_SCALING_DELAYED,
                             .history = config->history,
                             .fast_forward = config->fast_accumulation != CONFIG_FAST_NONE,
                             .fast_gradient = config->fast_accumulation == CONFIG_FAST_ALL,
                             .tokens = tokens};
    for (int i = 0; i < config->products.count; i++) {
        options.forward |= config->products.items[i] == CONFIG_PRODUCT_FORWARD;
        options.dx |= config->products.items[i] == CONFIG_PRODUCT_DX;
        options.dw |= config->products.items[i] == CONFIG_PRODUCT_DW;
    }
    return options;
}

/* Evaluation computes no products in eight bits. */
static Status float8_settle(const PlanInput *input, double tokens, Recorded *out) {
    if (input->config->training.matmul != CONFIG_MATMUL_FP8 || input->evaluates) return OK;
    Float8Options options = float8_of(input, tokens);
    return float8_create(&options, out->model, out->parameters, &out->f8);
}

/* The sample of an evaluation is one row: a short prompt and the new tokens. Weights in f64 have no
 * decoder. */
static Status decoder_settle(const PlanInput *input, DType dtype, Recorded *out) {
    const Config *config = input->config;
    int64_t tokens = config->evaluation.sample + SAMPLE_PROMPT;
    bool samples = config->evaluation.sample > 0 && config->data.val.count > 0;
    if (!samples || input->evaluates || dtype == DTYPE_F64) return OK;
    TRY(decoder_create(out->store, out->model, dtype, 1,
                       tokens < input->model.T ? tokens : input->model.T, &out->decoder));
    return decoder_record(out->decoder, input->target);
}

Status recorded_create(const PlanInput *input, Recorded *out) {
    DType dtype = config_dtype(input->config);
    Phases phases = plan_phases(input);
    double step_tokens = (double)(micro_tokens(input) * phases.list[0].accumulation);
    TrainingOptions options = options_of(input, &phases);
    *out = (Recorded){0};
    TRY(store_create(&out->store));
    TRY(parameters_create(out->store, dtype, !input->evaluates, &out->parameters));
    out->parameters->sharding = input->sharding;
    if (!input->evaluates) TRY(config_groups_add(input->config, step_tokens, out->parameters));
    TRY(model_create(&input->model, out->parameters, &out->model));
    if (!input->evaluates) TRY(config_groups_check(input->config, out->parameters));
    TRY(float8_settle(input, step_tokens, out));
    options.f8 = out->f8;
    TRY(step_tensors_create(out->store, input->B, input->model.T, dtype, &out->step));
    if (input->keeps_logits) TRY(step_logits_create(out->store, out->model->config.Vp, &out->step));
    TRY(decoder_settle(input, dtype, out));
    return training_create(out->model, out->parameters, &out->step, input->target, &options,
                           &out->training);
}

void recorded_destroy(Recorded *recorded) {
    training_destroy(&recorded->training);
    decoder_destroy(&recorded->decoder);
    model_destroy(&recorded->model);
    parameters_destroy(&recorded->parameters);
    store_destroy(&recorded->store);
}
