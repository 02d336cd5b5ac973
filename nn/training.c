#include "nn/training.h"

#include "core/autodiff.h"
#include "core/ops/reduce.h"
#include "nn/attention/documents.h"
#include "nn/loss.h"
#include "nn/optim/weight_prefetch.h"

#include <stdlib.h>

Status step_tensors_create(Store *store, int64_t B, int64_t T, DType dtype, StepTensors *out) {
    Section *batch, *step, *results, *first_nonfinites;
    int64_t shape[] = {B, T}, one[] = {1}, state[] = {sizeof(StepState)};
    TRY(store_section(store, "batch", BUFFER_INPUTS, DTYPE_I32, &batch));
    TRY(store_section(store, "step", BUFFER_INPUTS, DTYPE_U8, &step));
    TRY(store_section(store, "results", BUFFER_INPUTS, dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32,
                      &results));
    TRY(store_section(store, "first_nonfinites", BUFFER_INPUTS, DTYPE_I64, &first_nonfinites));
    TRY(section_add(store, first_nonfinites, "first_nonfinite", 1, one, &out->first_nonfinite));
    TRY(section_add(store, batch, "tokens", 2, shape, &out->tokens));
    TRY(section_add(store, batch, "targets", 2, shape, &out->targets));
    TRY(section_add(store, step, "state", 1, state, &out->step));
    TRY(section_add(store, results, "losses", 2, shape, &out->losses));
    TRY(section_add(store, results, "loss", 1, one, &out->loss));
    return section_add(store, results, "norm", 1, one, &out->norm);
}

typedef struct Recorder {
    const Model *model;
    const Parameters *parameters;
    const StepTensors *tensors;
    const TrainingOptions *options;
} Recorder;

/* The gradients of the parameters are wanted in their section. */
static void watch_parameters(Program *p, const Parameters *parameters, bool accumulate) {
    for (int i = 0; i < parameters->count; i++) {
        autodiff_watch(p, parameters->list[i]->weight, parameters->list[i]->grad, accumulate);
    }
}

static void losses_record(Program *p, const Recorder *r, double tokens) {
    const TrainingOptions *options = r->options;
    ForwardContext context = {.attention = options->attention,
                              .dropout = r->model->config.dropout,
                              .step = r->tensors->step,
                              .recompute = options->recompute};
    LossOptions loss = {r->model->config.V, 1.0 / tokens, options->logits_bytes, r->tensors->step};
    program_label(p, "documents");
    if (options->document_mask)
        context.documents = documents_record(p, r->tensors->tokens, options->end_of_text);
    Tensor *x = model_forward(p, r->model, r->tensors->tokens, &context);
    loss_record(p, r->tensors->losses, x, r->model->head->weight, r->tensors->targets, &loss);
}

static void micro_batch_record(Program *p, const Recorder *r, MicroBatch kind) {
    const TrainingOptions *options = r->options;
    bool accumulate = kind == MICRO_MIDDLE || kind == MICRO_LAST;
    double tokens = (double)(options->B * options->T * options->accumulation * options->ranks);
    watch_parameters(p, r->parameters, accumulate);
    losses_record(p, r, tokens);
    sum_record(p, r->tensors->loss, r->tensors->losses, 1.0 / tokens, accumulate);
    bool updates = kind == MICRO_ONLY || kind == MICRO_LAST;
    EmbeddingGradients embeddings;
    bool as_rows = updates && options->embedding_rows &&
                   embedding_gradients_take(p, r->parameters, options->collectives, &embeddings);
    autodiff_run(p);
    if (!accumulate) weight_prefetch_insert(p, r->parameters, options->collectives);
    if (!updates) return;
    update_record(p, &(Update){.parameters = r->parameters,
                               .collectives = options->collectives,
                               .clip = options->clip,
                               .step = r->tensors->step,
                               .loss = r->tensors->loss,
                               .norm = r->tensors->norm,
                               .first_nonfinite = r->tensors->first_nonfinite,
                               .embeddings = as_rows ? &embeddings : NULL});
}

static Status program_finish(Program *p, Plan **plan, size_t *arena_bytes) {
    TRY(program_status(p));
    TRY(plan_create(p, plan));
    if ((*plan)->bytes > *arena_bytes) *arena_bytes = (*plan)->bytes;
    return OK;
}

static Status micro_batches_create(Training *training, const Recorder *r, Target target) {
    int64_t n = r->options->accumulation;
    bool wanted[MICRO_KINDS] = {
        [MICRO_ONLY] = n == 1, [MICRO_FIRST] = n > 1, [MICRO_MIDDLE] = n > 2, [MICRO_LAST] = n > 1};
    for (int kind = 0; kind < MICRO_KINDS; kind++) {
        if (!wanted[kind]) continue;
        TRY(program_create(target, true, &training->programs[kind]));
        micro_batch_record(training->programs[kind], r, (MicroBatch)kind);
        TRY(program_finish(training->programs[kind], &training->plans[kind],
                           &training->arena_bytes));
    }
    return OK;
}

static Status evaluation_create(Training *training, const Recorder *r, Target target) {
    TRY(program_create(target, false, &training->evaluation));
    losses_record(training->evaluation, r, 1);
    return program_finish(training->evaluation, &training->plans[MICRO_KINDS],
                          &training->arena_bytes);
}

static Status gathering_create(Training *training, const Recorder *r, Target target) {
    if (weight_prefetch_late(r->parameters) == 0) return OK;
    TRY(program_create(target, false, &training->weight_gathering));
    weight_gather_record(training->weight_gathering, r->parameters, r->options->collectives);
    return program_status(training->weight_gathering);
}

Status training_create(const Model *model, const Parameters *parameters, const StepTensors *tensors,
                       Target target, const TrainingOptions *options, Training **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return ERROR(STATUS_NO_ROOM, "out of memory while recording");
    Recorder recorder = {model, parameters, tensors, options};
    TRY(micro_batches_create(*out, &recorder, target));
    TRY(gathering_create(*out, &recorder, target));
    return evaluation_create(*out, &recorder, target);
}

void training_destroy(Training **training) {
    if (training == NULL || *training == NULL) return;
    Training *t = *training;
    for (int i = 0; i < MICRO_KINDS; i++) program_destroy(&t->programs[i]);
    program_destroy(&t->evaluation);
    program_destroy(&t->weight_gathering);
    for (int i = 0; i <= MICRO_KINDS; i++) plan_destroy(&t->plans[i]);
    if (t->device != NULL) device_free(t->device, t->arena, t->arena_bytes);
    free(t);
    *training = NULL;
}

Status training_bind(Training *training, Device *device) {
    TRY(device_alloc(device, training->arena_bytes, "activations", &training->arena));
    training->device = device;
    for (int i = 0; i < MICRO_KINDS; i++) {
        if (training->programs[i] != NULL)
            plan_bind(training->plans[i], training->programs[i], training->arena);
    }
    plan_bind(training->plans[MICRO_KINDS], training->evaluation, training->arena);
    return OK;
}

Status training_gather_weights(const Training *training) {
    return training->weight_gathering == NULL
               ? OK
               : device_replay(training->device, training->weight_gathering);
}

MicroBatch training_micro_batch(int64_t index, int64_t accumulation) {
    if (accumulation == 1) return MICRO_ONLY;
    if (index == 0) return MICRO_FIRST;
    return index == accumulation - 1 ? MICRO_LAST : MICRO_MIDDLE;
}

const AttentionCall *training_attention_call(const Training *training) {
    const Program *first = training->evaluation;
    for (int i = MICRO_KINDS - 1; i >= 0; i--) {
        if (training->programs[i] != NULL) first = training->programs[i];
    }
    for (int i = 0; first != NULL && i < first->n_nodes; i++) {
        const Node *node = first->nodes[i];
        if (node->op != &attention_op) continue;
        return &((const AttentionAttrs *)node->attrs)->call;
    }
    return NULL;
}

const Plan *training_largest_plan(const Training *training) {
    const Plan *largest = NULL;
    for (int i = 0; i <= MICRO_KINDS; i++) {
        const Plan *plan = training->plans[i];
        if (plan != NULL && (largest == NULL || plan->bytes > largest->bytes)) largest = plan;
    }
    return largest;
}
