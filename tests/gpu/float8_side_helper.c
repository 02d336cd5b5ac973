#include "tests/gpu/float8_side_helper.h"

#include "core/convert.h"
#include "core/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

Device *side_cpu, *side_gpu;

bool side_is_skipped(void) {
    if (side_gpu == NULL && device_count_cuda() > 0) CHECK_OK(device_open_cuda(0, &side_gpu));
    if (side_cpu == NULL) CHECK_OK(device_open_cpu(0, &side_cpu));
    if (side_gpu == NULL)
        harness_skip("no GPU");
    else if (side_gpu->target.sm < 89)
        harness_skip("the GPU has no eight-bit products");
    return side_gpu == NULL || side_gpu->target.sm < 89;
}

bool side_open(Side *s, Device *device, DType dtype, bool trains) {
    *s = (Side){.device = device, .dtype = dtype};
    if (!CHECK_OK(store_create(&s->store)) ||
        !CHECK_OK(program_create(device->target, trains, &s->bound.program)))
        return false;
    s->p = s->bound.program;
    return CHECK_OK(store_section(s->store, "reals", BUFFER_INPUTS, dtype, &s->reals)) &&
           CHECK_OK(store_section(s->store, "wide", BUFFER_INPUTS, DTYPE_F32, &s->wide)) &&
           CHECK_OK(store_section(s->store, "integers", BUFFER_INPUTS, DTYPE_I32, &s->integers)) &&
           CHECK_OK(store_section(s->store, "state", BUFFER_INPUTS, DTYPE_U8, &s->state)) &&
           CHECK_OK(store_section(s->store, "e4m3", BUFFER_INPUTS, DTYPE_F8E4M3, &s->codes[0])) &&
           CHECK_OK(store_section(s->store, "e5m2", BUFFER_INPUTS, DTYPE_F8E5M2, &s->codes[1]));
}

Tensor *side_tensor(Side *s, Section *section, int n_dims, const int64_t *shape) {
    Tensor *t = NULL;
    char name[16];
    snprintf(name, sizeof name, "t%d", section->n_entries);
    program_check(s->p, section_add(s->store, section, name, n_dims, shape, &t));
    return t;
}

Tensor *side_input(Side *s, int64_t rows, int64_t columns, float span) {
    Tensor *t = side_tensor(s, s->reals, 2, (int64_t[]){rows, columns});
    s->spans[s->n_inputs] = span;
    return s->inputs[s->n_inputs++] = t;
}

static double drawn(int input, int64_t i, float span) {
    uint16_t half[4];
    double value =
        (double)(span * (2 * rng_uniform(philox(7, (uint64_t)i, (uint64_t)input).word[0]) - 1));
    real_store(half, DTYPE_BF16, 0, value);
    return real_load(half, DTYPE_BF16, 0);
}

Status side_upload(Side *s, const Tensor *t, int input, float span) {
    void *raw = malloc(tensor_bytes(t));
    if (raw == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory");
    for (int64_t i = 0; i < tensor_count(t); i++)
        real_store(raw, t->dtype, i, drawn(input, i, span));
    Status status = device_upload(s->device, t, raw);
    free(raw);
    return status;
}

bool side_run(Side *s) {
    bool good = CHECK_OK(program_status(s->p)) && CHECK_OK(bound_programs_plan(&s->bound, 1)) &&
                CHECK_OK(store_allocate(s->store, s->device)) &&
                CHECK_OK(bound_programs_bind(&s->bound, 1, s->device, "a test"));
    for (int i = 0; i < s->n_inputs && good; i++)
        good = CHECK_OK(side_upload(s, s->inputs[i], i, s->spans[i]));
    return good;
}

void side_close(Side *s) {
    bound_programs_destroy(&s->bound, 1);
    store_destroy(&s->store);
}

double *side_values(Side *s, const Tensor *t) {
    void *raw = malloc(tensor_bytes(t));
    double *values = malloc((size_t)tensor_count(t) * sizeof *values);
    CHECK_OK(device_download(s->device, raw, t));
    for (int64_t i = 0; i < tensor_count(t); i++) values[i] = real_load(raw, t->dtype, i);
    free(raw);
    return values;
}

double side_distance(Side *a, const Tensor *x, Side *b, const Tensor *y) {
    double *got = side_values(a, x), *wanted = side_values(b, y), difference = 0, size = 0;
    for (int64_t i = 0; i < tensor_count(x); i++) {
        difference += pow(got[i] - wanted[i], 2);
        size += wanted[i] * wanted[i];
    }
    free(got);
    free(wanted);
    return size == 0 ? difference : sqrt(difference / size);
}

int64_t side_difference(Side *a, const Tensor *x, Side *b, const Tensor *y) {
    size_t bytes = tensor_bytes(x);
    unsigned char *got = malloc(bytes), *wanted = malloc(bytes);
    int64_t count = 0;
    CHECK_OK(device_download(a->device, got, x));
    CHECK_OK(device_download(b->device, wanted, y));
    for (size_t i = 0; i < bytes; i++) count += got[i] != wanted[i];
    free(got);
    free(wanted);
    return count;
}
