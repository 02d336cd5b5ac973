#include "nn/parameters.h"

#include "core/ops/reduce.h"

#include <stdlib.h>

/* PART_ALIGNMENT: elements that a part is a multiple of, 64 bytes of f32: 16-byte accesses hold for
 * every dtype. */
enum { FIRST_SPAN_BYTES = 1 << 20, SPAN_BYTES = 25 << 20, PART_ALIGNMENT = 16 };

static Status no_memory(void) {
    return ERROR(STATUS_NO_ROOM, "out of memory while building the model");
}

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
    parameters->sharing = (Sharing){.ranks = 1};
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

static Status tensor_add(Parameters *parameters, Section *section, const Parameter *parameter,
                         Tensor **out) {
    if (section == NULL) return OK;
    return section_add(parameters->store, section, parameter->name, parameter->n_dims,
                       parameter->shape, out);
}

static Status tensors_add(Parameters *parameters, Parameter *parameter) {
    TRY(tensor_add(parameters, parameters->weights, parameter, &parameter->weight));
    TRY(tensor_add(parameters, parameters->grads, parameter, &parameter->grad));
    parameter->weight->needs_grad = parameters->grads != NULL;
    if (parameters->sharing.is_shared) return OK;
    TRY(tensor_add(parameters, parameters->masters, parameter, &parameter->master));
    TRY(tensor_add(parameters, parameters->m, parameter, &parameter->m));
    return tensor_add(parameters, parameters->v, parameter, &parameter->v);
}

/* Where the optimizer is shared: one vector of this rank's pieces for each thing that it keeps. */
static Status pieces_add(const Parameters *parameters) {
    Section *sections[] = {parameters->masters, parameters->m, parameters->v};
    int64_t pieces = tensor_count(parameters->weights->flat) / parameters->sharing.ranks;
    Tensor *all;
    for (int i = 0; i < 3; i++) {
        if (sections[i] != NULL)
            TRY(section_add(parameters->store, sections[i], "pieces", 1, &pieces, &all));
    }
    return OK;
}

/* Pads all whole sections alike and closes the span that they end with. */
static Status span_close(Parameters *parameters) {
    bool shares = parameters->sharing.is_shared;
    Section *sections[] = {parameters->weights, parameters->grads,
                           shares ? NULL : parameters->masters, shares ? NULL : parameters->m,
                           shares ? NULL : parameters->v};
    int64_t multiple = parameters->parts * PART_ALIGNMENT, first = 0, n = parameters->n_spans;
    if (n > 0) first = parameters->spans[n - 1].first + parameters->spans[n - 1].count;
    if (tensor_count(parameters->weights->flat) == first) return OK;
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (sections[i] != NULL) TRY(section_pad(sections[i], multiple));
    }
    parameters->spans[parameters->n_spans++] =
        (Span){first, tensor_count(parameters->weights->flat) - first};
    return OK;
}

/* Adds a parameter; a span that is full, or of another sort, is closed before. */
static Status parameter_lay(Parameters *parameters, const Parameter **before,
                            Parameter *parameter) {
    const Parameter *last = *before;
    int64_t first = 0, n = parameters->n_spans, most = n == 0 ? FIRST_SPAN_BYTES : SPAN_BYTES;
    if (n > 0) first = parameters->spans[n - 1].first + parameters->spans[n - 1].count;
    int64_t held = (tensor_count(parameters->weights->flat) - first) * (int64_t)sizeof(float);
    bool differs = last != NULL &&
                   (last->n_dims != parameter->n_dims || last->is_table != parameter->is_table);
    if (differs || held >= most) TRY(span_close(parameters));
    *before = parameter;
    return tensors_add(parameters, parameter);
}

Status parameters_layout(Parameters *parameters) {
    const Parameter *before = NULL;
    int64_t ranks = parameters->sharing.ranks;
    parameters->parts = (NORM_PARTS + ranks - 1) / ranks * ranks;
    parameters->spans =
        arena_alloc(&parameters->arena, ((size_t)parameters->count + 1) * sizeof(Span));
    if (parameters->spans == NULL) return no_memory();
    for (int n_dims = 2; n_dims >= 1; n_dims--) {
        for (int i = parameters->count - 1; i >= 0; i--) {
            if (parameters->list[i]->n_dims == n_dims)
                TRY(parameter_lay(parameters, &before, parameters->list[i]));
        }
        TRY(span_close(parameters));
        if (n_dims == 2) parameters->n_decayed = tensor_count(parameters->weights->flat);
    }
    return parameters->sharing.is_shared ? pieces_add(parameters) : OK;
}

int64_t parameters_count(const Parameters *parameters) {
    int64_t count = 0;
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = parameters->list[i];
        count += parameter->init_rows * (parameter->n_dims == 2 ? parameter->shape[1] : 1);
    }
    return count;
}

const char *parameters_name_at(const Parameters *parameters, int64_t element) {
    const Section *grads = parameters->grads;
    const char *name = NULL;
    for (int i = 0; i < grads->n_entries; i++) {
        const StoreEntry *entry = &grads->entries[i];
        if ((int64_t)(entry->tensor->offset / dtype_size(grads->dtype)) <= element)
            name = entry->name;
    }
    return name;
}
