#include "nn/parameters.h"

#include "core/convert.h"
#include "core/ops/copy.h"
#include "core/rng.h"

#include <math.h>
#include <stdlib.h>

static Status no_memory(void) { return ERROR(STATUS_FAILURE, "out of memory while building the model"); }

static DType wide_dtype(DType dtype) { return dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32; }

static Status training_sections(Parameters *parameters, DType dtype) {
    Store *store = parameters->store;
    DType wide = wide_dtype(dtype);
    TRY(store_section(store, "gradients", BUFFER_GRADIENTS, wide, &parameters->grads));
    TRY(store_section(store, "m", BUFFER_MOMENTS, wide, &parameters->m));
    TRY(store_section(store, "v", BUFFER_MOMENTS, wide, &parameters->v));
    if (dtype == wide) return OK;
    return store_section(store, "masters", BUFFER_MASTER_WEIGHTS, wide, &parameters->masters);
}

Status parameters_create(Store *store, DType dtype, bool training, Parameters **out) {
    Parameters *parameters = calloc(1, sizeof *parameters);
    if (parameters == NULL) return no_memory();
    *out = parameters;
    parameters->store = store;
    TRY(store_section(store, "weights", BUFFER_WEIGHTS, dtype, &parameters->weights));
    return training ? training_sections(parameters, dtype) : OK;
}

void parameters_destroy(Parameters **parameters) {
    if (parameters == NULL || *parameters == NULL) return;
    arena_free(&(*parameters)->arena);
    free((*parameters)->list);
    free(*parameters);
    *parameters = NULL;
}

Status parameters_add(Parameters *parameters, Parameter description, Parameter **out) {
    if (parameters->count == parameters->room) {
        int room = parameters->room == 0 ? 64 : 2 * parameters->room;
        Parameter **grown = realloc(parameters->list, (size_t)room * sizeof(Parameter *));
        if (grown == NULL) return no_memory();
        parameters->list = grown;
        parameters->room = room;
    }
    Parameter *parameter = arena_alloc(&parameters->arena, sizeof *parameter);
    if (parameter == NULL) return no_memory();
    *parameter = description;
    parameter->name = arena_strdup(&parameters->arena, description.name);
    if (parameter->name == NULL) return no_memory();
    parameters->list[parameters->count++] = parameter;
    *out = parameter;
    return OK;
}

static Status tensor_add(Parameters *parameters, Section *section, const Parameter *parameter, Tensor **out) {
    if (section == NULL) return OK;
    return section_add(parameters->store, section, parameter->name, parameter->n_dims, parameter->shape, out);
}

static Status tensors_add(Parameters *parameters, Parameter *parameter) {
    TRY(tensor_add(parameters, parameters->weights, parameter, &parameter->weight));
    TRY(tensor_add(parameters, parameters->masters, parameter, &parameter->master));
    TRY(tensor_add(parameters, parameters->grads, parameter, &parameter->grad));
    TRY(tensor_add(parameters, parameters->m, parameter, &parameter->m));
    TRY(tensor_add(parameters, parameters->v, parameter, &parameter->v));
    parameter->weight->needs_grad = parameters->grads != NULL;
    return OK;
}

Status parameters_layout(Parameters *parameters) {
    for (int n_dims = 2; n_dims >= 1; n_dims--) {
        for (int i = parameters->count - 1; i >= 0; i--) {
            if (parameters->list[i]->n_dims == n_dims) TRY(tensors_add(parameters, parameters->list[i]));
        }
        if (n_dims == 2) parameters->n_decayed = tensor_count(parameters->weights->flat);
    }
    return OK;
}

/* The high half of initialization's counters: apart from those of every step's masks. */
#define INITIALIZATION (UINT64_C(1) << 63)

/* Two normal numbers from two words: Box and Muller 1958. */
static void normal_pair(uint32_t a, uint32_t b, double out[2]) {
    double radius = sqrt(-2.0 * log(1.0 - (double)rng_uniform(a))), angle = 2.0 * M_PI * (double)rng_uniform(b);
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
}

static double initial_value(const Parameter *parameter, uint64_t seed, int index, int64_t element) {
    if (element / (parameter->n_dims == 2 ? parameter->shape[1] : 1) >= parameter->init_rows) return 0;
    if (parameter->init != INIT_NORMAL) return parameter->init == INIT_ONES ? 1 : 0;
    Philox words = philox(seed, (uint64_t)element / 4, INITIALIZATION | (uint64_t)index);
    double pair[2];
    int64_t k = element % 4;
    normal_pair(words.word[k / 2 * 2], words.word[k / 2 * 2 + 1], pair);
    return parameter->std * pair[k % 2];
}

static Status initialize(Device *device, const Parameter *parameter, const Tensor *t, uint64_t seed, int index) {
    int64_t count = tensor_count(t);
    void *values = malloc(tensor_bytes(t));
    if (values == NULL) return no_memory();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) real_store(values, t->dtype, i, initial_value(parameter, seed, index, i));
    Status status = device_upload(device, t, values);
    free(values);
    return status;
}

Status parameters_initialize(const Parameters *parameters, Device *device, uint64_t seed) {
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = parameters->list[i];
        TRY(initialize(device, parameter, parameter->weight, seed, i));
        if (parameter->master != NULL) TRY(initialize(device, parameter, parameter->master, seed, i));
    }
    return OK;
}

Status parameters_round_masters(const Parameters *parameters, Device *device) {
    if (parameters->masters == NULL) return OK;
    Program *p = NULL;
    TRY(program_create(device->target, false, &p));
    copy_record(p, parameters->weights->flat, parameters->masters->flat, false);
    Status status = program_status(p);
    if (!failed(status)) status = device_replay(device, p);
    if (!failed(status)) status = device_synchronize(device);
    program_destroy(&p);
    return status;
}

int64_t parameters_count(const Parameters *parameters) {
    int64_t count = 0;
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = parameters->list[i];
        count += parameter->init_rows * (parameter->n_dims == 2 ? parameter->shape[1] : 1);
    }
    return count;
}

static bool is_finite(const void *data, DType dtype, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        double value = dtype == DTYPE_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
        if (!isfinite(value)) return false;
    }
    return true;
}

Status parameters_find_nonfinite(const Parameters *parameters, Device *device, const char **name) {
    *name = NULL;
    for (int i = 0; i < parameters->count && *name == NULL; i++) {
        const Tensor *grad = parameters->list[i]->grad;
        void *values = malloc(tensor_bytes(grad));
        if (values == NULL) return no_memory();
        Status status = device_download(device, values, grad);
        if (!failed(status) && !is_finite(values, grad->dtype, tensor_count(grad))) *name = parameters->list[i]->name;
        free(values);
        TRY(status);
    }
    return OK;
}
