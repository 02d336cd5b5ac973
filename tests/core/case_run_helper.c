/* Declares, runs and reads the cases of tests/core/ops_cases_helper.h. */
#include "core/autodiff.h"
#include "core/convert.h"
#include "core/ops/copy.h"
#include "core/rng.h"
#include "core/step.h"
#include "tests/core/ops_cases_helper.h"

#include <stdlib.h>

static double draw(CaseRun *run) {
    Philox words = philox(2024, run->n_drawn++, 7);
    return 2.0 * ((double)words.word[0] + 0.5) / 4294967296.0 - 1.0;
}

static double *draw_all(CaseRun *run, const Tensor *t, double offset, double scale) {
    int64_t count = tensor_count(t);
    double *values = arena_alloc(&run->memory, (size_t)count * sizeof *values + 1);
    for (int64_t i = 0; values != NULL && i < count; i++) values[i] = offset + scale * draw(run);
    return values;
}

/* A tensor of the case's store; fails the program and returns NULL if out of memory. */
static Tensor *declare(CaseRun *run, Section *section, const char *name, int n_dims,
                       const int64_t *shape) {
    Tensor *t = NULL;
    program_check(run->program, section_add(run->store, section, name, n_dims, shape, &t));
    return t;
}

static Tensor *input(CaseRun *run, CaseTensor wanted, Section *values, Section *grads, int n_dims,
                     const int64_t *shape, double offset, double scale) {
    wanted.tensor = declare(run, values, wanted.name, n_dims, shape);
    wanted.grad = declare(run, grads, wanted.name, n_dims, shape);
    if (program_failed(run->program)) return NULL;
    wanted.tensor->needs_grad = true;
    wanted.values = draw_all(run, wanted.tensor, offset, scale);
    autodiff_watch(run->program, wanted.tensor, wanted.grad, run->accumulate);
    run->inputs[run->n_inputs++] = wanted;
    return wanted.tensor;
}

Tensor *case_activation(CaseRun *run, const char *name, int n_dims, const int64_t *shape,
                        double scale) {
    return input(run, (CaseTensor){.name = name}, run->activations, run->activation_grads, n_dims,
                 shape, 0, scale);
}

Tensor *case_weight(CaseRun *run, const char *name, int n_dims, const int64_t *shape, double offset,
                    double scale) {
    return input(run, (CaseTensor){.name = name}, run->weights, run->weight_grads, n_dims, shape,
                 offset, scale);
}

void case_output(CaseRun *run, const char *name, Tensor *t) {
    if (program_failed(run->program) || t == NULL) return;
    CaseTensor output = {.name = name,
                         .tensor = declare(run, run->activations, name, t->n_dims, t->shape),
                         .grad = declare(run, run->activation_grads, name, t->n_dims, t->shape)};
    if (program_failed(run->program)) return;
    output.seeds = draw_all(run, output.tensor, 0, 1);
    copy_record(run->program, output.tensor, t, false);
    autodiff_watch(run->program, t, output.grad, true);
    run->outputs[run->n_outputs++] = output;
}

void case_losses(CaseRun *run, Tensor *losses, double factor) {
    if (program_failed(run->program) || losses == NULL) return;
    CaseTensor output = {.name = "losses",
                         .tensor =
                             declare(run, run->losses, "losses", losses->n_dims, losses->shape)};
    if (program_failed(run->program)) return;
    output.seeds = draw_all(run, output.tensor, factor, 0);
    copy_record(run->program, output.tensor, losses, false);
    run->outputs[run->n_outputs++] = output;
}

static Status sections_create(CaseRun *run) {
    DType wide = run->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    const struct {
        const char *name;
        DType dtype;
        Section **out;
    } wanted[] = {
        {"activations", run->dtype, &run->activations},
        {"weights", run->dtype, &run->weights},
        {"activation gradients", run->dtype, &run->activation_grads},
        {"weight gradients", wide, &run->weight_grads},
        {"losses", wide, &run->losses},
        {"state", DTYPE_U8, &run->state},
        {"integers", DTYPE_I32, &run->integers},
    };
    TRY(store_create(&run->store));
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        TRY(store_section(run->store, wanted[i].name, BUFFER_INPUTS, wanted[i].dtype,
                          wanted[i].out));
    }
    return OK;
}

Status case_create(const OpCase *op, Target target, DType dtype, bool accumulate, CaseRun **out) {
    CaseRun *run = calloc(1, sizeof *run);
    if (run == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    *out = run;
    run->op = op;
    run->dtype = dtype;
    run->accumulate = accumulate;
    TRY(sections_create(run));
    TRY(program_create(target, true, &run->bound.program));
    run->program = run->bound.program;
    run->step = declare(run, run->state, "step", 1, (int64_t[]){sizeof(StepState)});
    run->tokens = declare(run, run->integers, "tokens", 2, (int64_t[]){op->B, op->T});
    program_label(run->program, "%s", op->name);
    op->record(run);
    autodiff_run(run->program);
    return bound_programs_plan(&run->bound, 1);
}

static Status integers_upload(CaseRun *run) {
    const OpCase *op = run->op;
    StepState state = {
        .seed = 99, .step = 3, .first_sample = 5, .adam_step = 1, .lr = 1, .loss_scale = 1};
    TRY(device_upload(run->device, run->step, &state));
    int64_t count = tensor_count(run->tokens);
    int32_t *tokens = arena_alloc(&run->memory, (size_t)count * sizeof *tokens);
    if (tokens == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    for (int64_t i = 0; i < count; i++) tokens[i] = op->V == 0 ? 0 : (int32_t)(i * i * 7 % op->V);
    return device_upload(run->device, run->tokens, tokens);
}

Status case_bind(CaseRun *run, Device *device) {
    run->device = device;
    TRY(store_allocate(run->store, device));
    TRY(bound_programs_bind(&run->bound, 1, device, "a test's arena"));
    return integers_upload(run);
}

static Status gradient_start(CaseRun *run, const Tensor *grad) {
    double *values = malloc((size_t)tensor_count(grad) * sizeof *values + 1);
    if (values == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    for (int64_t i = 0; i < tensor_count(grad); i++) values[i] = CASE_START;
    Status status = case_write(run, grad, values);
    free(values);
    return status;
}

Status case_replay(CaseRun *run) {
    for (int i = 0; i < run->n_inputs; i++) {
        TRY(case_write(run, run->inputs[i].tensor, run->inputs[i].values));
        if (run->accumulate) TRY(gradient_start(run, run->inputs[i].grad));
    }
    for (int i = 0; i < run->n_outputs; i++) {
        if (run->outputs[i].grad != NULL)
            TRY(case_write(run, run->outputs[i].grad, run->outputs[i].seeds));
    }
    TRY(device_replay(run->device, run->program));
    return device_synchronize(run->device);
}

Status case_read(const CaseRun *run, const Tensor *t, double *values) {
    void *raw = malloc(tensor_bytes(t) + 1);
    if (raw == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    Status status = device_download(run->device, raw, t);
    for (int64_t i = 0; i < tensor_count(t) && !failed(status); i++)
        values[i] = real_load(raw, t->dtype, i);
    free(raw);
    return status;
}

Status case_write(const CaseRun *run, const Tensor *t, const double *values) {
    void *raw = malloc(tensor_bytes(t) + 1);
    if (raw == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    for (int64_t i = 0; i < tensor_count(t); i++) real_store(raw, t->dtype, i, values[i]);
    Status status = device_upload(run->device, t, raw);
    free(raw);
    return status;
}

Status case_objective(const CaseRun *run, long double *objective) {
    *objective = 0;
    for (int i = 0; i < run->n_outputs; i++) {
        const CaseTensor *output = &run->outputs[i];
        double *values = malloc((size_t)tensor_count(output->tensor) * sizeof *values + 1);
        if (values == NULL) return ERROR(STATUS_FAILURE, "out of memory");
        Status status = case_read(run, output->tensor, values);
        for (int64_t k = 0; k < tensor_count(output->tensor) && !failed(status); k++) {
            *objective += (long double)values[k] * (long double)output->seeds[k];
        }
        free(values);
        TRY(status);
    }
    return OK;
}

void case_destroy(CaseRun **run) {
    if (run == NULL || *run == NULL) return;
    CaseRun *r = *run;
    bound_programs_destroy(&r->bound, 1);
    store_destroy(&r->store);
    arena_free(&r->memory);
    free(r);
    *run = NULL;
}
