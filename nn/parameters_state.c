/* The state of parameters, written from outside: by initialization, or from a checkpoint. */
#include "nn/parameters.h"

#include "core/convert.h"
#include "core/ops/copy.h"
#include "core/ops/initialize.h"

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
    return parameters->sharing.is_shared && section != parameters->weights &&
           section != parameters->grads;
}

/* Values are drawn in f32: into the weights themselves, or where these are narrower into the
 * gradients' memory, which is as long and not in use yet. */
static void parameter_draw(Program *p, const Parameters *parameters, uint64_t seed, int index) {
    const Parameter *parameter = parameters->list[index];
    InitializeAttrs attrs = {.std = parameter->init == INIT_NORMAL ? parameter->std : 0,
                             .value = parameter->init == INIT_ONES ? 1 : 0,
                             .seed = seed,
                             .index = index,
                             .n_rows = parameter->init_rows};
    initialize_record(p, parameters->masters == NULL ? parameter->weight : parameter->grad, attrs);
}

static Tensor *elements(Program *p, Section *section, int64_t first, int64_t count) {
    return program_view(p, &section->buffer, (size_t)first * dtype_size(section->dtype),
                        section->dtype, 1, &count);
}

static void masters_copy(Program *p, const Parameters *parameters) {
    Section *masters = parameters->masters, *drawn = parameters->grads;
    copy_record(p, parameters->weights->flat, drawn->flat, false);
    if (!parameters_is_piecewise(parameters, masters)) {
        copy_record(p, masters->flat, drawn->flat, false);
        return;
    }
    for (int s = 0; s < parameters->n_spans && !program_failed(p); s++) {
        Span piece = parameters_piece(parameters, s);
        copy_record(p, elements(p, masters, parameters_piece_place(parameters, s), piece.count),
                    elements(p, drawn, piece.first, piece.count), false);
    }
}

Status parameters_initialize(const Parameters *parameters, Device *device, uint64_t seed) {
    Program *p = NULL;
    TRY(program_create(device->target, false, &p));
    for (int i = 0; i < parameters->count; i++) parameter_draw(p, parameters, seed, i);
    if (parameters->masters != NULL) masters_copy(p, parameters);
    Status status = program_status(p);
    if (!failed(status)) status = device_replay(device, p);
    if (!failed(status)) status = device_synchronize(device);
    program_destroy(&p);
    return status;
}

static Status weight_write(Device *device, const Tensor *weight, const void *values) {
    if (weight->dtype == DTYPE_F32 || weight->dtype == DTYPE_F64)
        return device_upload(device, weight, values);
    int64_t count = tensor_count(weight);
    void *narrow = malloc(tensor_bytes(weight));
    if (narrow == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for weights");
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) {
        real_store(narrow, weight->dtype, i, (double)((const float *)values)[i]);
    }
    Status status = device_upload(device, weight, narrow);
    free(narrow);
    return status;
}

/* `count` elements of a section from element `place` on. */
static Status range_write(Device *device, Section *section, int64_t place, int64_t count,
                          const void *values) {
    size_t offset = (size_t)place * dtype_size(section->dtype);
    Tensor range = {.buffer = &section->buffer,
                    .offset = offset,
                    .dtype = section->dtype,
                    .n_dims = 1,
                    .shape = {count}};
    return device_upload(device, &range, values);
}

/* Of the elements `whole` of the layout, those that lie in this rank's pieces. */
static Status pieces_write(const Parameters *parameters, Device *device, Section *section,
                           Span whole, const void *values) {
    for (int s = 0; s < parameters->n_spans; s++) {
        Span piece = parameters_piece(parameters, s);
        int64_t first = piece.first > whole.first ? piece.first : whole.first;
        int64_t piece_end = piece.first + piece.count, whole_end = whole.first + whole.count;
        int64_t end = piece_end < whole_end ? piece_end : whole_end;
        if (first >= end) continue;
        int64_t place = parameters_piece_place(parameters, s) + first - piece.first;
        const char *from =
            (const char *)values + (size_t)(first - whole.first) * dtype_size(section->dtype);
        TRY(range_write(device, section, place, end - first, from));
    }
    return OK;
}

Status parameters_write(const Parameters *parameters, Device *device, StateKind kind, int index,
                        const void *values) {
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
