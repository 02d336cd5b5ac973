#include "tests/core/quantize_helper.h"

#include "core/float8.h"
#include "core/rng.h"

Tensor *fixture_tensor(Fixture *f, const char *name, int n_dims, const int64_t *shape) {
    Tensor *t = NULL;
    program_check(f->p, section_add(f->store, f->floats, name, n_dims, shape, &t));
    return t;
}

bool fixture_open(Fixture *f, bool trains) {
    *f = (Fixture){0};
    if (!CHECK_OK(device_open_cpu(2, &f->device)) || !CHECK_OK(store_create(&f->store)) ||
        !CHECK_OK(program_create(f->device->target, trains, &f->bound.program)))
        return false;
    f->p = f->bound.program;
    bool has = CHECK_OK(store_section(f->store, "f", BUFFER_INPUTS, DTYPE_F32, &f->floats)) &&
               CHECK_OK(store_section(f->store, "i", BUFFER_INPUTS, DTYPE_I32, &f->integers));
    if (!has) return false;
    f->x = fixture_tensor(f, "x", 2, (int64_t[]){ROWS, K});
    f->w = fixture_tensor(f, "w", 2, (int64_t[]){N, K});
    f->bias = fixture_tensor(f, "bias", 1, (int64_t[]){N});
    f->y = fixture_tensor(f, "y", 2, (int64_t[]){ROWS, N});
    f->dy = fixture_tensor(f, "dy", 2, (int64_t[]){ROWS, N});
    f->dx = fixture_tensor(f, "dx", 2, (int64_t[]){ROWS, K});
    f->dw = fixture_tensor(f, "dw", 2, (int64_t[]){N, K});
    f->db = fixture_tensor(f, "db", 1, (int64_t[]){N});
    f->scales = fixture_tensor(f, "scales", 1, (int64_t[]){3});
    return CHECK_OK(section_add(f->store, f->integers, "o", 1, (int64_t[]){2}, &f->observed));
}

void fixture_fill(const Tensor *t, uint64_t stream, float size) {
    float *values = tensor_data(t);
    for (int64_t i = 0; i < tensor_count(t); i++)
        values[i] = size * (2 * rng_uniform(philox(5, (uint64_t)i, stream).word[0]) - 1);
}

bool fixture_bind(Fixture *f) {
    bool bound = CHECK_OK(program_status(f->p)) && CHECK_OK(bound_programs_plan(&f->bound, 1)) &&
                 CHECK_OK(store_allocate(f->store, f->device)) &&
                 CHECK_OK(bound_programs_bind(&f->bound, 1, f->device, "a test"));
    if (!bound) return false;
    fixture_fill(f->x, 1, 3), fixture_fill(f->w, 2, 0.1f), fixture_fill(f->bias, 3, 1),
        fixture_fill(f->dy, 4, 1e-3f);
    float *scales = tensor_data(f->scales);
    scales[0] = float8_scale(DTYPE_F8E4M3, 1); /* up to 1.75: of x up to 3 some saturate */
    scales[1] = float8_scale(DTYPE_F8E4M3, 0.1f);
    scales[2] = float8_scale(DTYPE_F8E5M2, 1e-3f);
    return true;
}

void fixture_close(Fixture *f) {
    bound_programs_destroy(&f->bound, 1);
    store_destroy(&f->store);
    device_close(&f->device);
}

LinearF8 fixture_layer(const Fixture *f, Tensor scales[3]) {
    for (int i = 0; i < 3; i++) {
        scales[i] = *f->scales;
        scales[i].offset += (size_t)i * sizeof(float);
        scales[i].shape[0] = 1;
    }
    return (LinearF8){.x = {DTYPE_F8E4M3, &scales[0], NULL},
                      .w = {DTYPE_F8E4M3, &scales[1], NULL},
                      .dy = {DTYPE_F8E5M2, &scales[2], NULL},
                      .forward = true,
                      .dx = true,
                      .dw = true};
}
