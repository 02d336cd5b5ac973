#include "tests/gpu/cases_helper.h"

#include "core/ops/copy.h"
#include "core/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_TENSORS = 48 };

typedef struct Entry {
    Tensor *t;
    double *values; /* uploaded before the run; NULL: poisoned */
    bool compared;
    Width width;
} Entry;

struct Case {
    Program *program;
    Store *store;
    Section *narrow, *wide, *tokens, *state;
    DType dtype;
    bool training;
    uint64_t seed;
    int n_entries;
    Entry entries[MAX_TENSORS];
    StepState step;
    Tensor *step_tensor;
    Status status;
    double slack;
};

Program *case_program(Case *c) { return c->program; }
DType case_dtype(const Case *c) { return c->dtype; }
void case_slack(Case *c, double factor) { c->slack = factor; }

bool case_trains(Case *c, bool training) { return c->program->training = training; }

static Tensor *entry_add(Case *c, Section *section, int n_dims, const int64_t *shape, double *values) {
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

/* The nearest value that the dtype has; the reference gets the same. */
static double rounded(double value, DType dtype) {
    if (dtype == DTYPE_F16) return (double)(_Float16)(float)value;
    if (dtype == DTYPE_F64) return value;
    union {
        float f;
        uint32_t u;
    } bits = {(float)value};
    if (dtype == DTYPE_BF16) bits.u = (bits.u + 0x7FFFu + (bits.u >> 16 & 1)) & 0xFFFF0000u;
    return (double)bits.f;
}

static DType run_dtype; /* of the device under test, while its reference runs as well */

Tensor *case_input(Case *c, Width width, double mean, double std, int n_dims, const int64_t *shape) {
    int64_t count = 1;
    for (int i = 0; i < n_dims; i++) count *= shape[i];
    double *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; values != NULL && i < count; i++) {
        double value = mean + std * normal(c->seed, (uint64_t)i, (uint64_t)c->n_entries);
        values[i] = rounded(value, width == NARROW ? run_dtype : DTYPE_F32);
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
    Status status = section_add(c->store, c->state, "state", 1, (int64_t[]){sizeof state}, &c->step_tensor);
    if (failed(status)) c->status = status;
    return c->step_tensor;
}

void case_compare(Case *c, Tensor *t, Width width) {
    for (int i = 0; i < c->n_entries; i++) {
        if (c->entries[i].t != t) continue;
        c->entries[i].compared = true;
        c->entries[i].width = width;
    }
}

static Tensor *watched_input(Case *c, Width width, double mean, double std, bool accumulate, int n_dims,
                             const int64_t *shape) {
    Tensor *t = case_input(c, NARROW, mean, std, n_dims, shape);
    t->needs_grad = c->program->training;
    if (!c->program->training) return t;
    Tensor *grad = accumulate ? case_input(c, width, 0, 1, n_dims, shape) : case_output(c, width, n_dims, shape);
    autodiff_watch(c->program, t, grad, accumulate);
    case_compare(c, grad, NARROW); /* even f32 gradients come from others that were rounded on the way */
    return t;
}

Tensor *case_parameter(Case *c, double mean, double std, bool accumulate, int n_dims, const int64_t *shape) {
    return watched_input(c, WIDE, mean, std, accumulate, n_dims, shape);
}

Tensor *case_activation(Case *c, double mean, double std, bool accumulate, int n_dims, const int64_t *shape) {
    return watched_input(c, NARROW, mean, std, accumulate, n_dims, shape);
}

void case_differentiate(Case *c, Tensor *t) {
    if (t == NULL) return;
    Tensor *value = case_output(c, WIDE, t->n_dims, t->shape);
    copy_record(c->program, value, t, false);
    case_compare(c, value, NARROW);
    if (!c->program->training) return;
    autodiff_watch(c->program, t, case_input(c, NARROW, 0, 1, t->n_dims, t->shape), true);
    autodiff_run(c->program);
}

static void narrow_store(void *data, DType dtype, int64_t i, double value) {
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    switch (dtype) {
    case DTYPE_F64: ((double *)data)[i] = value; break;
    case DTYPE_F32: ((float *)data)[i] = single; break;
    case DTYPE_F16: ((_Float16 *)data)[i] = (_Float16)single; break;
    case DTYPE_BF16: ((uint16_t *)data)[i] = (uint16_t)(bits >> 16); break;
    default: ((int32_t *)data)[i] = (int32_t)value;
    }
}

static double value_load(const void *data, DType dtype, int64_t i) {
    uint32_t bits = dtype == DTYPE_BF16 ? (uint32_t)((const uint16_t *)data)[i] << 16 : 0;
    float single;
    memcpy(&single, &bits, sizeof single);
    switch (dtype) {
    case DTYPE_F64: return ((const double *)data)[i];
    case DTYPE_F32: return (double)((const float *)data)[i];
    case DTYPE_F16: return (double)((const _Float16 *)data)[i];
    case DTYPE_BF16: return (double)single;
    default: return (double)((const int32_t *)data)[i];
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
            narrow_store(data, t->dtype, k, c->entries[i].values[k]);
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
    size_t room = 1;
    for (int i = 0; i < c->n_entries; i++) room += (size_t)tensor_count(c->entries[i].t);
    double *values = *out = malloc(room * sizeof *values);
    void *data = malloc(room * sizeof(double));
    if (values == NULL || data == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    for (int i = 0; i < c->n_entries; i++) {
        const Tensor *t = c->entries[i].t;
        if (!c->entries[i].compared) continue;
        Status status = device_download(device, data, t);
        if (failed(status)) {
            free(data);
            return status;
        }
        for (int64_t k = 0; k < tensor_count(t); k++) *values++ = value_load(data, t->dtype, k);
    }
    free(data);
    return OK;
}

static Status case_build(Case *c, CaseFn body, Target target, DType dtype, uint64_t seed) {
    *c = (Case){.dtype = dtype, .seed = seed, .slack = 2};
    DType wide = dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    TRY(program_create(target, true, &c->program));
    TRY(store_create(&c->store));
    TRY(store_section(c->store, "narrow", BUFFER_WEIGHTS, dtype, &c->narrow));
    TRY(store_section(c->store, "wide", BUFFER_GRADIENTS, wide, &c->wide));
    TRY(store_section(c->store, "tokens", BUFFER_INPUTS, DTYPE_I32, &c->tokens));
    TRY(store_section(c->store, "state", BUFFER_INPUTS, DTYPE_U8, &c->state));
    body(c);
    TRY(c->status);
    return program_status(c->program);
}

static Status replay_into(Case *c, Device *device, void *arena, size_t bytes, double **out) {
    TRY(poison(device, arena, bytes));
    TRY(inputs_upload(c, device));
    TRY(device_replay(device, c->program));
    return results_read(c, device, out);
}

/* Runs the case; a second run's results too where `again` is given. */
static Status case_results(Case *c, Device *device, double **out, double **again) {
    Plan *plan = NULL;
    void *arena = NULL;
    TRY(store_allocate(c->store, device));
    TRY(plan_create(c->program, &plan));
    size_t bytes = plan->bytes;
    Status status = device_alloc(device, bytes, "the arena", &arena);
    if (!failed(status)) {
        plan_bind(plan, c->program, arena);
        status = replay_into(c, device, arena, bytes, out);
        if (!failed(status) && again != NULL) status = replay_into(c, device, arena, bytes, again);
        device_free(device, arena, bytes);
    }
    plan_destroy(&plan);
    return status;
}

static void case_free(Case *c) {
    for (int i = 0; i < c->n_entries; i++) free(c->entries[i].values);
    program_destroy(&c->program);
    store_destroy(&c->store);
}

static double relative(double error, double norm) {
    return norm > 0 ? sqrt(error / norm) : error > 0 || isnan(error) ? INFINITY : 0;
}

static void results_compare(const Case *c, const char *name, const double *found, const double *expected) {
    for (int i = 0; i < c->n_entries; i++) {
        const Entry *entry = &c->entries[i];
        if (!entry->compared) continue;
        int64_t count = tensor_count(entry->t);
        double error = 0, rounding = 0, norm = 0;
        for (int64_t k = 0; k < count; k++) {
            double wanted = expected[k], nearest = rounded(wanted, c->dtype);
            error += (found[k] - wanted) * (found[k] - wanted);
            rounding += (nearest - wanted) * (nearest - wanted);
            norm += wanted * wanted;
        }
        double bar = c->dtype == DTYPE_F32 ? 2e-6 : 2e-5, narrow = c->slack * relative(rounding, norm);
        if (entry->width == NARROW && narrow > bar) bar = narrow; /* in f32 the rounding is far below */
        double reached = relative(error, norm);
        if (!(reached <= bar)) {
            printf("%s in %s: tensor %d %s: error %.3g, allowed %.3g\n", name, dtype_name(c->dtype), i,
                   tensor_text(entry->t), reached, bar);
        }
        CHECK(reached <= bar);
        found += count;
        expected += count;
    }
}

static size_t compared_bytes(const Case *c) {
    size_t bytes = 0;
    for (int i = 0; i < c->n_entries; i++) {
        if (c->entries[i].compared) bytes += (size_t)tensor_count(c->entries[i].t) * sizeof(double);
    }
    return bytes;
}

void case_run(CaseFn body, const char *name, Device *device, DType dtype) {
    static uint64_t runs;
    uint64_t seed = (uint64_t)time(NULL) * 1000 + runs++;
    Case reference, tested;
    Device *cpu = NULL;
    double *expected = NULL, *found = NULL, *again = NULL;
    REQUIRE_OK(device_open_cpu(0, &cpu));
    run_dtype = dtype;
    bool good = CHECK_OK(case_build(&reference, body, cpu->target, DTYPE_F64, seed)) &&
                CHECK_OK(case_results(&reference, cpu, &expected, NULL)) &&
                CHECK_OK(case_build(&tested, body, device->target, dtype, seed));
    if (good) {
        if (CHECK_OK(case_results(&tested, device, &found, &again))) {
            results_compare(&tested, name, found, expected);
            bool repeats = memcmp(found, again, compared_bytes(&tested)) == 0;
            if (!repeats) printf("%s in %s does not repeat bit by bit\n", name, dtype_name(dtype));
            CHECK(repeats);
        }
        case_free(&tested);
    }
    case_free(&reference);
    free(expected);
    free(found);
    free(again);
    device_close(&cpu);
}

static void gpu_close(void);
static Device *gpu;

Device *case_gpu(void) {
    if (gpu != NULL || device_count_cuda() == 0) return gpu;
    if (CHECK_OK(device_open_cuda(0, &gpu))) atexit(gpu_close);
    return gpu;
}

static void gpu_close(void) { device_close(&gpu); }
