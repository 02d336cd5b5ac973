#include "nn/training.h"

#include "core/autodiff.h"
#include "core/ops/linear.h"
#include "core/ops/reduce.h"
#include "core/passes/fuse_quantize.h"
#include "nn/attention/documents.h"
#include "nn/loss.h"
#include "nn/optim/noise_record.h"
#include "nn/optim/weight_prefetch.h"

#include <stdlib.h>

Status step_tensors_create(Store *store, int64_t B, int64_t T, DType dtype, StepTensors *out) {
    Section *batch, *step, *results, *first_nonfinites;
    int64_t shape[] = {B, T}, one[] = {1}, two[] = {2}, state[] = {sizeof(StepState)};
    TRY(store_section(store, "batch", BUFFER_INPUTS, DTYPE_I32, &batch));
    TRY(store_section(store, "step", BUFFER_INPUTS, DTYPE_U8, &step));
    TRY(store_section(store, "results", BUFFER_INPUTS, dtype_wide(dtype), &results));
    TRY(store_section(store, "first_nonfinites", BUFFER_INPUTS, DTYPE_I64, &first_nonfinites));
    TRY(section_add(store, first_nonfinites, "first_nonfinite", 1, one, &out->first_nonfinite));
    TRY(section_add(store, batch, "tokens", 2, shape, &out->tokens));
    TRY(section_add(store, batch, "targets", 2, shape, &out->targets));
    TRY(section_add(store, step, "state", 1, state, &out->step));
    TRY(section_add(store, results, "losses", 2, shape, &out->losses));
    TRY(section_add(store, results, "loss", 1, one, &out->loss));
    TRY(section_add(store, results, "norm", 1, one, &out->norm));
    return section_add(store, results, "noise", 1, two, &out->noise);
}

Status step_logits_create(Store *store, int64_t Vp, StepTensors *tensors) {
    const int64_t *rows = tensors->losses->shape, shape[] = {rows[0], rows[1], Vp};
    Section *section;
    TRY(store_section(store, "logits", BUFFER_LOGITS, tensors->losses->dtype, &section));
    return section_add(store, section, "logits", 3, shape, &tensors->logits);
}

typedef struct Recorder {
    const Model *model;
    const Parameters *parameters;
    const StepTensors *tensors;
    const TrainingOptions *options;
    TrainingPhase phase;
} Recorder;

/* The section of gradients must hold the parameters' gradients. */
static void watch_parameters(Program *p, const Parameters *parameters, bool accumulate) {
    for (int i = 0; i < parameters->count; i++) {
        autodiff_watch(p, parameters->list[i]->weight, parameters->list[i]->grad, accumulate);
    }
}

/* Returns the input of the output layer. */
static Tensor *losses_record(Program *p, const Recorder *r, double tokens) {
    const TrainingOptions *options = r->options;
    ForwardContext context = {.attention = options->attention,
                              .dropout = r->model->config.dropout,
                              .step = r->tensors->step,
                              .recompute = options->recompute,
                              .windows = r->phase.windows};
    LossOptions loss = {.V = r->model->config.V,
                        .scale = 1.0 / tokens,
                        .logits_bytes = options->logits_bytes,
                        .layer = r->model->head->layer,
                        .step = r->tensors->step,
                        .softcap = r->model->config.logit_softcap};
    program_label(p, "documents");
    if (options->document_mask)
        context.documents = documents_record(p, r->tensors->tokens, options->end_of_text);
    Tensor *x = model_forward(p, r->model, r->tensors->tokens, &context);
    loss_record(p, r->tensors->losses, x, r->model->head->weight, r->tensors->targets, &loss);
    return x;
}

static void evaluation_record(Program *p, const Recorder *r) {
    Tensor *x = losses_record(p, r, 1);
    if (r->tensors->logits != NULL) linear_into(p, r->tensors->logits, x, r->model->head->weight);
}

/* Element `index` of StepTensors.noise. */
static Tensor *noise_at(Program *p, const Recorder *r, size_t index) {
    const Tensor *noise = r->tensors->noise;
    return program_view(p, noise->buffer, noise->offset + index * dtype_size(noise->dtype),
                        noise->dtype, 1, (int64_t[]){1});
}

static void micro_batch_record(Program *p, const Recorder *r, TrainingProgram kind) {
    const TrainingOptions *options = r->options;
    bool accumulate = kind == MICRO_MIDDLE || kind == MICRO_LAST;
    double tokens = (double)(options->B * options->T * r->phase.accumulation * options->ranks);
    watch_parameters(p, r->parameters, accumulate);
    losses_record(p, r, tokens);
    sum_record(p, r->tensors->loss, r->tensors->losses, 1.0 / tokens, accumulate);
    bool updates = kind != MICRO_FIRST && kind != MICRO_MIDDLE,
         measures_ranks = kind == MICRO_MEASURED && options->ranks > 1;
    EmbeddingGradients embeddings;
    bool is_tied = r->model->head == r->model->wte;
    bool as_rows = updates && options->embedding_rows && is_tied &&
                   embedding_gradients_take(p, r->parameters, options->collectives, &embeddings);
    autodiff_run(p);
    if (!accumulate) weight_prefetch_insert(p, r->parameters, options->collectives);
    if (!updates) return;
    float8_gather_record(p, options->f8, options->collectives);
    update_record(p, &(Update){.parameters = r->parameters,
                               .collectives = options->collectives,
                               .clip = options->clip,
                               .step = r->tensors->step,
                               .loss = r->tensors->loss,
                               .norm = r->tensors->norm,
                               .unit_norm = measures_ranks ? noise_at(p, r, 0) : NULL,
                               .first_nonfinite = r->tensors->first_nonfinite,
                               .embeddings = as_rows ? &embeddings : NULL});
    float8_scales_record(p, options->f8, r->phase.accumulation, r->tensors->step);
}

static void training_program_record(Program *p, const Recorder *r, TrainingProgram kind) {
    micro_batch_record(p, r, kind);
    if (r->options->f8 != NULL) quantize_fuse(p);
}

static Status micro_batches_record(BoundProgram *programs, const Recorder *r, Target target) {
    int64_t n = r->phase.accumulation;
    bool wanted[] = {
        [MICRO_ONLY] = n == 1, [MICRO_FIRST] = n > 1, [MICRO_MIDDLE] = n > 2, [MICRO_LAST] = n > 1};
    for (int kind = MICRO_ONLY; kind <= MICRO_LAST; kind++) {
        if (!wanted[kind]) continue;
        TRY(program_create(target, true, &programs[kind].program));
        training_program_record(programs[kind].program, r, (TrainingProgram)kind);
    }
    return OK;
}

/* The units are the sequences of a step with one micro-batch on one rank, the ranks of a step with
 * one micro-batch each, and else the first micro-batch of each rank. */
static NoiseSample noise_units(const TrainingOptions *o, int64_t accumulation) {
    NoiseSample sample = {.batch = o->B * accumulation * o->ranks};
    bool is_one = accumulation == 1 && o->ranks == 1;
    if (!o->measures_noise || sample.batch < 2) return sample;
    sample.unit = is_one ? 1 : o->B;
    sample.units = is_one ? o->B : o->ranks;
    sample.part = is_one ? NOISE_PART_NORMS : NOISE_PART_ALL;
    return sample;
}

static Status noise_record(BoundProgram *programs, const Recorder *r, Target target,
                           NoiseSample *out) {
    const TrainingOptions *o = r->options;
    Program **measured = &programs[MICRO_MEASURED].program, **unit = &programs[NOISE_UNIT].program,
            **whole = &programs[NOISE_WHOLE].program;
    *out = noise_units(o, r->phase.accumulation);
    if (out->units == 0) return OK;
    bool is_only = r->phase.accumulation == 1, is_one = is_only && o->ranks == 1;
    if (is_only) {
        TRY(program_create(target, true, measured));
        training_program_record(*measured, r, MICRO_MEASURED);
        if (is_one)
            noise_sequences_insert(*measured, o->B, noise_at(*measured, r, 0),
                                   noise_at(*measured, r, 1));
    } else {
        TRY(program_create(target, false, unit));
        noise_unit_record(*unit, r->parameters, o->collectives, noise_at(*unit, r, 0));
    }
    if (is_one) return OK;
    TRY(program_create(target, false, whole));
    noise_whole_record(*whole, r->parameters, o->collectives, noise_at(*whole, r, 1));
    return OK;
}

static Status others_record(Training *training, const Recorder *r, Target target) {
    Program **gathering = &training->programs[WEIGHT_GATHERING].program;
    Program **evaluation = &training->programs[EVALUATION].program;
    if (weight_prefetch_late(r->parameters) > 0) {
        TRY(program_create(target, false, gathering));
        weight_gather_record(*gathering, r->parameters, r->options->collectives);
    }
    TRY(program_create(target, false, evaluation));
    evaluation_record(*evaluation, r);
    return OK;
}

Status training_create(const Model *model, const Parameters *parameters, const StepTensors *tensors,
                       Target target, const TrainingOptions *options, Training **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory while recording");
    Recorder recorder = {model, parameters, tensors, options, {0}};
    int n = options->n_phases;
    if (n > TRAINING_MAX_PHASES)
        return ERROR(STATUS_CONFIG, "more than %d phases", TRAINING_MAX_PHASES);
    (*out)->n_programs = (n > 1 ? n : 1) * TRAINING_PROGRAMS;
    for (int i = 0; i < n; i++) {
        recorder.phase = options->phases[i];
        BoundProgram *programs = &(*out)->programs[i * TRAINING_PROGRAMS];
        TRY(micro_batches_record(programs, &recorder, target));
        TRY(noise_record(programs, &recorder, target, &(*out)->noise[i]));
    }
    recorder.phase = (TrainingPhase){0};
    TRY(others_record(*out, &recorder, target));
    return bound_programs_plan((*out)->programs, (*out)->n_programs);
}

void training_destroy(Training **training) {
    if (training == NULL || *training == NULL) return;
    bound_programs_destroy((*training)->programs, (*training)->n_programs);
    free(*training);
    *training = NULL;
}

size_t training_arena_bytes(const Training *training) {
    return bound_programs_bytes(training->programs, training->n_programs);
}

Status training_bind(Training *training, Device *device) {
    return bound_programs_bind(training->programs, training->n_programs, device, "activations");
}

static Status replay(const Training *training, int phase, TrainingProgram kind) {
    const BoundProgram *bound = &training->programs[phase * TRAINING_PROGRAMS + (int)kind];
    return bound->program == NULL ? OK : device_replay(bound->device, bound->program);
}

Status training_gather_weights(const Training *training) {
    return replay(training, 0, WEIGHT_GATHERING);
}

Status training_replay(const Training *training, int phase, int64_t index, int64_t accumulation,
                       bool measures) {
    bool is_only = accumulation == 1;
    TRY(replay(training, phase,
               measures && is_only ? MICRO_MEASURED : training_micro_batch(index, accumulation)));
    if (measures && index == 0) TRY(replay(training, phase, NOISE_UNIT));
    return measures && index == accumulation - 1 ? replay(training, phase, NOISE_WHOLE) : OK;
}

TrainingProgram training_micro_batch(int64_t index, int64_t accumulation) {
    if (accumulation == 1) return MICRO_ONLY;
    if (index == 0) return MICRO_FIRST;
    return index == accumulation - 1 ? MICRO_LAST : MICRO_MIDDLE;
}

Program *training_program(const Training *training, int phase, TrainingProgram kind) {
    return training->programs[phase * TRAINING_PROGRAMS + (int)kind].program;
}

const AttentionCall *training_attention_call(const Training *training) {
    const Program *first = NULL;
    for (int i = 0; i <= EVALUATION && first == NULL; i++) first = training->programs[i].program;
    for (int i = 0; first != NULL && i < first->n_nodes; i++) {
        const Node *node = first->nodes[i];
        if (node->op != &attention_op) continue;
        return &((const AttentionAttrs *)node->attrs)->call;
    }
    return NULL;
}

const Plan *training_largest_plan(const Training *training) {
    const Plan *largest = NULL;
    for (int i = 0; i < training->n_programs; i++) {
        const Plan *plan = training->programs[i].plan;
        if (plan != NULL && (largest == NULL || plan->bytes > largest->bytes)) largest = plan;
    }
    return largest;
}
