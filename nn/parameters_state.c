/* The state of parameters, written from outside: by initialization, or from a checkpoint. */
#include "nn/parameters.h"

#include "core/convert.h"

#include <stdlib.h>

Span parameters_piece(const Parameters *parameters, int span) {
    const Sharing *sharing = &parameters->sharing;
    int64_t count = parameters->spans[span].count / sharing->ranks;
    return (Span){parameters->spans[span].first + sharing->rank * count, count};
}

/* Spans lie without gaps, so all that come before have left as much in every rank's section. */
int64_t parameters_piece_place(const Parameters *parameters, int span) {
    return parameters->spans[span].first / parameters->sharing.ranks;
}

Section *parameters_state(const Parameters *parameters, StateKind kind) {
    if (kind == STATE_M) return parameters->m;
    if (kind == STATE_V) return parameters->v;
    return parameters->masters != NULL ? parameters->masters : parameters->weights;
}

bool parameters_is_piecewise(const Parameters *parameters, const Section *section) {
    return parameters->sharing.is_shared && section != parameters->weights && section != parameters->grads;
}

static Status weight_write(Device *device, const Tensor *weight, const void *values) {
    if (weight->dtype == DTYPE_F32 || weight->dtype == DTYPE_F64) return device_upload(device, weight, values);
    int64_t count = tensor_count(weight);
    void *narrow = malloc(tensor_bytes(weight));
    if (narrow == NULL) return ERROR(STATUS_FAILURE, "out of memory for weights");
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) {
        real_store(narrow, weight->dtype, i, (double)((const float *)values)[i]);
    }
    Status status = device_upload(device, weight, narrow);
    free(narrow);
    return status;
}

/* `count` elements of a section from element `place` on. */
static Status range_write(Device *device, Section *section, int64_t place, int64_t count, const void *values) {
    size_t offset = (size_t)place * dtype_size(section->dtype);
    Tensor range = {
        .buffer = &section->buffer, .offset = offset, .dtype = section->dtype, .n_dims = 1, .shape = {count}};
    return device_upload(device, &range, values);
}

/* Of the elements `whole` of the layout, those that lie in this rank's pieces. */
static Status pieces_write(const Parameters *parameters, Device *device, Section *section, Span whole,
                           const void *values) {
    for (int s = 0; s < parameters->n_spans; s++) {
        Span piece = parameters_piece(parameters, s);
        int64_t first = piece.first > whole.first ? piece.first : whole.first;
        int64_t piece_end = piece.first + piece.count, whole_end = whole.first + whole.count;
        int64_t end = piece_end < whole_end ? piece_end : whole_end;
        if (first >= end) continue;
        int64_t place = parameters_piece_place(parameters, s) + first - piece.first;
        const char *from = (const char *)values + (size_t)(first - whole.first) * dtype_size(section->dtype);
        TRY(range_write(device, section, place, end - first, from));
    }
    return OK;
}

Status parameters_write(const Parameters *parameters, Device *device, StateKind kind, int index, const void *values) {
    const Tensor *weight = parameters->list[index]->weight;
    Section *section = parameters_state(parameters, kind);
    if (kind == STATE_WEIGHTS) TRY(weight_write(device, weight, values));
    if (section == NULL || section == parameters->weights) return OK;
    Span whole = {(int64_t)(weight->offset / dtype_size(weight->dtype)), tensor_count(weight)};
    if (!parameters_is_piecewise(parameters, section)) {
        return range_write(device, section, whole.first, whole.count, values);
    }
    return pieces_write(parameters, device, section, whole, values);
}
