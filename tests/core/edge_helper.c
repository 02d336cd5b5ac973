#include "tests/core/edge_helper.h"

#include "core/step.h"

DType edge_wide(DType dtype) { return dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32; }

bool edge_begin(Edge *e, Device *device, DType dtype) {
    *e = (Edge){.device = device, .dtype = dtype};
    return CHECK_OK(store_create(&e->store)) &&
           CHECK_OK(store_section(e->store, "tested", BUFFER_WEIGHTS, dtype, &e->tested)) &&
           CHECK_OK(
               store_section(e->store, "wide", BUFFER_GRADIENTS, edge_wide(dtype), &e->wide)) &&
           CHECK_OK(store_section(e->store, "integers", BUFFER_INPUTS, DTYPE_I32, &e->integers)) &&
           CHECK_OK(store_section(e->store, "bytes", BUFFER_INPUTS, DTYPE_U8, &e->bytes)) &&
           CHECK_OK(program_create(device->target, true, &e->bound.program)) &&
           (e->program = e->bound.program) != NULL;
}

Tensor *edge_tensor(Edge *e, Section *section, int n_dims, const int64_t *shape) {
    char name[32];
    Tensor *t = NULL;
    snprintf(name, sizeof name, "%s_%d", section->name, section->n_entries);
    return CHECK_OK(section_add(e->store, section, name, n_dims, shape, &t)) ? t : NULL;
}

Tensor *edge_step(Edge *e) { return edge_tensor(e, e->bytes, SHAPE(sizeof(StepState))); }

bool edge_ready(Edge *e) {
    return CHECK_OK(bound_programs_plan(&e->bound, 1)) &&
           CHECK_OK(store_allocate(e->store, e->device)) &&
           CHECK_OK(bound_programs_bind(&e->bound, 1, e->device, "a test"));
}

void edge_write(Edge *e, const Tensor *t, const double *values) {
    void *raw = malloc(tensor_bytes(t));
    for (int64_t i = 0; i < tensor_count(t); i++) real_store(raw, t->dtype, i, values[i]);
    CHECK_OK(device_upload(e->device, t, raw));
    free(raw);
}

double *edge_read(Edge *e, const Tensor *t) {
    void *raw = malloc(tensor_bytes(t));
    double *values = calloc((size_t)tensor_count(t), sizeof *values);
    CHECK_OK(device_download(e->device, raw, t));
    for (int64_t i = 0; i < tensor_count(t); i++) values[i] = real_load(raw, t->dtype, i);
    free(raw);
    return values;
}

double *edge_run(Edge *e, const Tensor *result) {
    CHECK_OK(device_replay(e->device, e->program));
    return edge_read(e, result);
}

void edge_end(Edge *e) {
    bound_programs_destroy(&e->bound, 1);
    store_destroy(&e->store);
}

double edge_rounded(double value, DType dtype) {
    double place;
    real_store(&place, dtype, 0, value);
    return real_load(&place, dtype, 0);
}

bool edge_is_half(DType dtype) { return dtype == DTYPE_F16 || dtype == DTYPE_BF16; }

bool edge_is_close(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * fabs(b);
}

void edge_check(bool good, const char *what, DType dtype, int64_t row, double found) {
    if (!good)
        printf("\n    %s in %s, row %lld: %g\n", what, dtype_name(dtype), (long long)row, found);
    CHECK(good);
}
