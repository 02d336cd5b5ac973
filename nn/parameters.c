#include "nn/parameters.h"

#include <stdlib.h>
#include <string.h>

static Status no_memory(void) {
    return ERROR(STATUS_OUT_OF_MEMORY, "out of memory while building the model");
}

static Status training_sections(Parameters *parameters, DType dtype) {
    Store *store = parameters->store;
    DType wide = dtype_wide(dtype);
    TRY(store_section(store, "gradients", BUFFER_GRADIENTS, wide, &parameters->grads));
    if (dtype == wide) return OK;
    return store_section(store, "masters", BUFFER_MASTER_WEIGHTS, wide, &parameters->masters);
}

Status parameters_create(Store *store, DType dtype, bool training, Parameters **out) {
    Parameters *parameters = calloc(1, sizeof *parameters);
    if (parameters == NULL) return no_memory();
    *out = parameters;
    parameters->store = store;
    parameters->sharding = (Sharding){.ranks = 1};
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
    if (parameters->count == parameters->capacity) {
        int capacity = parameters->capacity == 0 ? 64 : 2 * parameters->capacity;
        Parameter **grown = realloc(parameters->list, (size_t)capacity * sizeof(Parameter *));
        if (grown == NULL) return no_memory();
        parameters->list = grown;
        parameters->capacity = capacity;
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

Status parameters_add_group(Parameters *parameters, ParameterGroup group) {
    if (parameters->n_groups == PARAMETERS_MAX_GROUPS)
        return ERROR(STATUS_OUT_OF_MEMORY, "more than %d parameter groups", PARAMETERS_MAX_GROUPS);
    parameters->groups[parameters->n_groups++] = group;
    return OK;
}

static bool ends_with(const char *name, const char *end) {
    size_t length = strlen(name), part = strlen(end);
    return length >= part && strcmp(name + length - part, end) == 0;
}

ParameterKind parameter_kind(const Parameter *parameter) {
    if (parameter->n_dims == 1 || ends_with(parameter->name, ".short_conv.weight"))
        return PARAMETER_VECTOR;
    if (parameter->is_embedding || ends_with(parameter->name, ".value_embedding.weight"))
        return PARAMETER_EMBEDDING;
    return strcmp(parameter->name, "lm_head.weight") == 0 ? PARAMETER_HEAD : PARAMETER_MATRIX;
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
