#include "tests/gpu/cases_helper.h"

#include "core/bound_program.h"
#include "core/convert.h"
#include "core/ops/copy.h"
#include "core/rng.h"
#include "tests/gpu/composition_helper.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 48 };

typedef struct Entry {
    Tensor *t;
    double *values; /* uploaded before the run; NULL: poisoned */
    bool compared;
} Entry;

struct Case {
    CaseRole role;
    DType dtype, stored; /* under test; of NARROW tensors in this role */
    uint64_t seed;
    const Program *held; /* of a composition: the program that determines the stored dtypes */
    BoundProgram bound;
    Store *store;
    Section *narrow, *wide, *tokens, *state;
    int n_entries;
    Entry entries[MAX_TENSORS];
    StepState step;
    Tensor *step_tensor;
    Status status;
};

Program *case_program(Case *c) { return c->bound.program; }
DType case_dtype(const Case *c) { return c->dtype; }
CaseRole case_role(const Case *c) { return c->role; }

bool case_trains(Case *c, bool training) { return c->bound.program->training = training; }

static Tensor *entry_add(Case *c, Section *section, int n_dims, const int64_t *shape,
                         double *values) {
    Tensor *t = NULL;
    char name[16];
    snprintf(name, sizeof name, "t%d", c->n_entries);
    Status status = section_add(c->store, section, name, n_dims, shape, &t);
    if (failed(status)) c->status = status;
    c->entries[c->n_entries++] = (Entry){.t = t, .values = values};
    return t;
}

static double normal(uint64_t seed, uint64_t index, uint64_t stream) {
    Philox w = philox(seed, index, stream);
    double radius = sqrt(-2 * log(1 - (double)rng_uniform(w.word[0])));
    return radius * cos(2 * M_PI * (double)rng_uniform(w.word[1]));
}

Tensor *case_input(Case *c, Width width, double mean, double std, int n_dims,
                   const int64_t *shape) {
    int64_t count = 1;
    for (int i = 0; i < n_dims; i++) count *= shape[i];
    double *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; values != NULL && i < count; i++) {
        double value = mean + std * normal(c->seed, (uint64_t)i, (uint64_t)c->n_entries);
        values[i] =
            rounded(value, width == NARROW ? c->dtype : DTYPE_F32); /* the same for the reference */
    }
    return entry_add(c, width == NARROW ? c->narrow : c->wide, n_dims, shape, values);
}

Tensor *case_output(Case *c, Width width, int n_dims, const int64_t *shape) {
    return entry_add(c, width == NARROW ? c->narrow : c->wide, n_dims, shape, NULL);
}

Tensor *case_tokens(Case *c, int64_t V, int n_dims, const int64_t *shape) {
    int64_t count = 1;
    for (int i = 0; i < n_dims; i++) count *= shape[i];
    double *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; values != NULL && i < count; i++) {
        Philox w = philox(c->seed, (uint64_t)i, (uint64_t)c->n_entries);
        values[i] = w.word[0] & 1 ? (double)(V / 2) : (double)(w.word[1] % (uint32_t)V);
    }
    return entry_add(c, c->tokens, n_dims, shape, values);
}

Tensor *case_step(Case *c, StepState state) {
    c->step = state;
    Status status =
        section_add(c->store, c->state, "state", 1, (int64_t[]){sizeof state}, &c->step_tensor);
    if (failed(status)) c->status = status;
    return c->step_tensor;
}

void case_compare(Case *c, Tensor *t) {
    for (int i = 0; i < c->n_entries; i++) c->entries[i].compared |= c->entries[i].t == t;
}

static Tensor *watched_input(Case *c, Width width, double mean, double std, bool accumulate,
                             int n_dims, const int64_t *shape) {
    Tensor *t = case_input(c, NARROW, mean, std, n_dims, shape);
    t->needs_grad = c->bound.program->training;
    if (!c->bound.program->training) return t;
    Tensor *grad = accumulate ? case_input(c, width, 0, 1, n_dims, shape)
                              : case_output(c, width, n_dims, shape);
    autodiff_watch(c->bound.program, t, grad, accumulate);
    case_compare(c, grad);
    return t;
}

Tensor *case_parameter(Case *c, double mean, double std, bool accumulate, int n_dims,
                       const int64_t *shape) {
    return watched_input(c, WIDE, mean, std, accumulate, n_dims, shape);
}

Tensor *case_activation(Case *c, double mean, double std, bool accumulate, int n_dims,
                        const int64_t *shape) {
    return watched_input(c, NARROW, mean, std, accumulate, n_dims, shape);
}

void case_differentiate(Case *c, Tensor *t) {
    if (t == NULL) return;
    Tensor *value = case_output(c, WIDE, t->n_dims, t->shape);
    copy_record(c->bound.program, value, t, false);
    case_compare(c, value);
    if (!c->bound.program->training) return;
    autodiff_watch(c->bound.program, t, case_input(c, NARROW, 0, 1, t->n_dims, t->shape), true);
    autodiff_run(c->bound.program);
}

static void value_store(void *data, DType dtype, int64_t i, double value) {
    if (dtype == DTYPE_I32) {
        ((int32_t *)data)[i] = (int32_t)value;
    } else {
        real_store(data, dtype, i, value);
    }
}

static Status inputs_upload(Case *c, Device *device) {
    for (int i = 0; i < c->n_entries; i++) {
        const Tensor *t = c->entries[i].t;
        size_t bytes = tensor_bytes(t);
        void *data = malloc(bytes + 1);
        if (data == NULL) return ERROR(STATUS_FAILURE, "out of memory");
        memset(data, 0xFF, bytes);
        for (int64_t k = 0; c->entries[i].values != NULL && k < tensor_count(t); k++) {
            value_store(data, t->dtype, k, c->entries[i].values[k]);
        }
        Status status = device_upload(device, t, data);
        free(data);
        TRY(status);
    }
    return c->step_tensor == NULL ? OK : device_upload(device, c->step_tensor, &c->step);
}

static Status poison(Device *device, void *arena, size_t bytes) {
    unsigned char *data = malloc(bytes + 1);
    if (data == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    memset(data, 0xFF, bytes);
    Buffer buffer = {.bytes = bytes, .data = arena};
    Tensor all = {.buffer = &buffer, .dtype = DTYPE_U8, .n_dims = 1, .shape = {(int64_t)bytes}};
    Status status = device_upload(device, &all, data);
    free(data);
    return status;
}

/* All compared values, one after another. */
static Status results_read(Case *c, Device *device, double **out) {
    size_t elements = 1;
    for (int i = 0; i < c->n_entries; i++) elements += (size_t)tensor_count(c->entries[i].t);
    double *values = *out = malloc(elements * sizeof *values);
    void *data = malloc(elements * sizeof(double));
    if (values == NULL || data == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    for (int i = 0; i < c->n_entries; i++) {
        const Tensor *t = c->entries[i].t;
        if (!c->entries[i].compared) continue;
        Status status = device_download(device, data, t);
        if (failed(status)) {
            free(data);
            return status;
        }
        for (int64_t k = 0; k < tensor_count(t); k++) *values++ = real_load(data, t->dtype, k);
    }
    free(data);
    return OK;
}

/* Records the case; its role, dtypes and seed must be set. */
static Status case_build(Case *c, CaseFn body, Target target) {
    DType wide = c->stored == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    TRY(program_create(target, true, &c->bound.program));
    TRY(store_create(&c->store));
    TRY(store_section(c->store, "narrow", BUFFER_WEIGHTS, c->stored, &c->narrow));
    TRY(store_section(c->store, "wide", BUFFER_GRADIENTS, wide, &c->wide));
    TRY(store_section(c->store, "tokens", BUFFER_INPUTS, DTYPE_I32, &c->tokens));
    TRY(store_section(c->store, "state", BUFFER_INPUTS, DTYPE_U8, &c->state));
    body(c);
    TRY(c->status);
    return program_status(c->bound.program);
}

static Status replay_into(Case *c, Device *device, double **out) {
    TRY(poison(device, c->bound.memory, c->bound.bytes));
    TRY(inputs_upload(c, device));
    TRY(c->held != NULL ? composition_replay(device, c->bound.program, c->held)
                        : device_replay(device, c->bound.program));
    return results_read(c, device, out);
}

/* Runs the case; repeats it if `again` is given. */
static Status case_results(Case *c, Device *device, double **out, double **again) {
    TRY(store_allocate(c->store, device));
    TRY(bound_programs_plan(&c->bound, 1));
    TRY(bound_programs_bind(&c->bound, 1, device, "the arena"));
    TRY(replay_into(c, device, out));
    return again == NULL ? OK : replay_into(c, device, again);
}

static void case_free(Case *c) {
    for (int i = 0; i < c->n_entries; i++) free(c->entries[i].values);
    bound_programs_destroy(&c->bound, 1);
    store_destroy(&c->store);
}

/* The relative error of `found` against `exact`; if `found` is NULL, the error of rounding `exact`
 * to `dtype`. */
static double relative_error(const double *found, DType dtype, const double *exact, int64_t count) {
    double error = 0, norm = 0;
    for (int64_t k = 0; k < count; k++) {
        double off = (found != NULL ? found[k] : rounded(exact[k], dtype)) - exact[k];
        error += off * off;
        norm += exact[k] * exact[k];
    }
    return norm > 0 ? sqrt(error / norm) : error > 0 || isnan(error) ? INFINITY : 0;
}

static bool is_half(DType dtype) { return dtype == DTYPE_F16 || dtype == DTYPE_BF16; }

/* The error allowed to a tensor in 16 bits. */
static double allowed_error(const Tensor *t, const double *composed, const double *exact) {
    int64_t count = tensor_count(t);
    double composition = relative_error(composed, t->dtype, exact, count);
    double rounding = is_half(t->dtype) ? relative_error(NULL, t->dtype, exact, count) : 0;
    return fmax(2e-5, 2 * fmax(composition, rounding));
}

/* Uses `bar` if there is no composition. */
static void results_compare(const Case *c, const char *name, const double *found,
                            const double *exact, const double *composed, double bar) {
    bool verbose = getenv("CASE_VERBOSE") != NULL;
    for (int i = 0; i < c->n_entries; i++) {
        const Tensor *t = c->entries[i].t;
        if (!c->entries[i].compared) continue;
        int64_t count = tensor_count(t);
        double error = relative_error(found, t->dtype, exact, count);
        if (composed != NULL) bar = allowed_error(t, composed, exact);
        bool good = error <= bar && bar < 0.1; /* if the composition overflows, the check fails */
        if (verbose || !good) {
            printf("%s in %s: tensor %d %s: error %.3g, allowed %.3g\n", name, dtype_name(c->dtype),
                   i, tensor_text(t), error, bar);
        }
        CHECK(good);
        found += count, exact += count;
        if (composed != NULL) composed += count;
    }
}

static size_t compared_bytes(const Case *c) {
    size_t bytes = 0;
    for (int i = 0; i < c->n_entries; i++) {
        if (c->entries[i].compared) bytes += (size_t)tensor_count(c->entries[i].t) * sizeof(double);
    }
    return bytes;
}

static bool reference_run(CaseFn body, Device *cpu, DType dtype, uint64_t seed, double **out) {
    Case c = {.role = CASE_REFERENCE, .dtype = dtype, .stored = DTYPE_F64, .seed = seed};
    bool good =
        CHECK_OK(case_build(&c, body, cpu->target)) && CHECK_OK(case_results(&c, cpu, out, NULL));
    case_free(&c);
    return good;
}

/* The caller frees `c` in any case. */
static bool composition_run(CaseFn body, Device *cpu, DType dtype, uint64_t seed, Case *c,
                            double **out) {
    Case held = {.role = CASE_COMPOSITION, .dtype = dtype, .stored = dtype, .seed = seed};
    *c = held;
    c->stored = DTYPE_F64;
    Target gpu = {
        .kind = DEVICE_CUDA, .sm = 90, .n_sms = 132}; /* the CPU does not compute in 16 bits */
    bool good =
        CHECK_OK(case_build(&held, body, gpu)) && CHECK_OK(case_build(c, body, cpu->target));
    c->held = held.bound.program;
    good = good && CHECK_OK(case_results(c, cpu, out, NULL));
    c->held = NULL;
    case_free(&held);
    return good;
}

static void tested_run(CaseFn body, const char *name, Device *device, Case c, const double *exact,
                       const double *composed) {
    double *found = NULL, *again = NULL;
    if (CHECK_OK(case_build(&c, body, device->target)) &&
        CHECK_OK(case_results(&c, device, &found, &again))) {
        results_compare(&c, name, found, exact, composed, 2e-6);
        bool repeats = memcmp(found, again, compared_bytes(&c)) == 0;
        if (!repeats) printf("%s in %s does not repeat bit by bit\n", name, dtype_name(c.dtype));
        CHECK(repeats);
    }
    case_free(&c);
    free(found);
    free(again);
}

void case_visit(CaseFn body, Target target, void (*visit)(const Node *node, void *self),
                void *self) {
    Case c = {.role = CASE_TESTED, .dtype = DTYPE_F32, .stored = DTYPE_F32, .seed = 1};
    CHECK_OK(case_build(&c, body, target));
    for (int i = 0; c.bound.program != NULL && i < c.bound.program->n_nodes; i++)
        visit(c.bound.program->nodes[i], self);
    case_free(&c);
}

/* The same in every run, so that a failure repeats; SEED starts another sequence. */
static uint64_t seed_next(void) {
    static uint64_t runs;
    const char *seed = getenv("SEED");
    return (seed == NULL ? 1 : strtoull(seed, NULL, 10)) * 1000 + runs++;
}

/* The expected results of a case: the reference's, and the composition's if there is one. */
typedef struct Expected {
    Device *cpu; /* owns the memory of the composition */
    Case composition;
    double *exact, *composed;
} Expected;

static bool expected_make(CaseFn body, DType dtype, uint64_t seed, Expected *e) {
    *e = (Expected){0};
    return CHECK_OK(device_open_cpu(0, &e->cpu)) &&
           reference_run(body, e->cpu, dtype, seed, &e->exact) &&
           (!is_half(dtype) ||
            composition_run(body, e->cpu, dtype, seed, &e->composition, &e->composed));
}

static void expected_free(Expected *e) {
    case_free(&e->composition);
    free(e->exact);
    free(e->composed);
    device_close(&e->cpu);
}

void case_run(CaseFn body, const char *name, Device *device, DType dtype) {
    Case tested = {.role = CASE_TESTED, .dtype = dtype, .stored = dtype, .seed = seed_next()};
    Expected e;
    if (expected_make(body, dtype, tested.seed, &e))
        tested_run(body, name, device, tested, e.exact, e.composed);
    expected_free(&e);
}

void case_run_composition(CaseFn body, const char *name) {
    Expected e;
    if (expected_make(body, DTYPE_BF16, seed_next(), &e)) {
        results_compare(&e.composition, name, e.composed, e.exact, NULL, 1e-2);
    }
    expected_free(&e);
}

static void gpu_close(void);
static Device *gpu;

bool case_sanitized(void) { return getenv("CASE_SANITIZED") != NULL; }

Device *case_gpu(void) {
    if (gpu != NULL || device_count_cuda() == 0) return gpu;
    if (!CHECK_OK(device_open_cuda(0, &gpu))) return NULL;
    if (case_sanitized()) gpu->autotune = false;
    atexit(gpu_close);
    return gpu;
}

static void gpu_close(void) { device_close(&gpu); }
