#include "nn/float8_training.h"

#include "core/float8.h"
#include "core/ops/collective.h"
#include "core/ops/delayed_scale.h"

#include <stdlib.h>
#include <string.h>

static Status no_memory(void) {
    return ERROR(STATUS_OUT_OF_MEMORY, "out of memory while building the model");
}

static bool is_layer(const Float8Options *options, const Model *model, const Parameter *parameter) {
    if (parameter == model->head) return options->head;
    return parameter_kind(parameter) == PARAMETER_MATRIX;
}

static Status state_declare(Store *store, int64_t ranks, Float8 *f8) {
    Section *state, *observed;
    int64_t S = f8->sites, scale[] = {S, SCALE_STRIDE}, history[] = {f8->options.history, S},
            one[] = {1};
    int64_t all[] = {ranks, S, OBSERVED_COUNT};
    TRY(store_section(store, "float8", BUFFER_MOMENTS, DTYPE_F32, &state));
    TRY(store_section(store, "float8_observed", BUFFER_MOMENTS, DTYPE_I32, &observed));
    TRY(section_add(store, state, "scale", 2, scale, &f8->scale));
    TRY(section_add(store, state, "history", 2, history, &f8->history));
    TRY(section_add(store, state, "saturated", 1, one, &f8->saturated));
    return section_add(store, observed, "observed", 3, all, &f8->observed);
}

/* `count` elements of `all` from element `first`. */
static Status site_view(Arena *arena, const Tensor *all, int64_t first, int64_t count,
                        Tensor **out) {
    Tensor *view = *out = arena_alloc(arena, sizeof *view);
    if (view == NULL) return no_memory();
    size_t offset = (size_t)first * dtype_size(all->dtype);
    *view = (Tensor){.buffer = all->buffer,
                     .offset = all->offset + offset,
                     .dtype = all->dtype,
                     .n_dims = 1,
                     .shape = {count}};
    return OK;
}

static Status operand_create(Arena *arena, const Float8 *f8, const Sharding *ranks, int64_t site,
                             DType dtype, Float8Operand *out) {
    *out = (Float8Operand){.dtype = dtype};
    if (!f8->options.is_delayed) return OK;
    int64_t own = ranks->rank * f8->sites + site;
    TRY(site_view(arena, f8->scale, site * SCALE_STRIDE, 1, &out->scale));
    return site_view(arena, f8->observed, own * OBSERVED_COUNT, OBSERVED_COUNT, &out->observed);
}

static Status layer_create(Arena *arena, const Float8 *f8, const Sharding *ranks, int64_t index,
                           Parameter *weight) {
    const Float8Options *o = &f8->options;
    LinearF8 *layer = arena_alloc(arena, sizeof *layer);
    if (layer == NULL) return no_memory();
    *layer = (LinearF8){.forward = o->forward,
                        .dx = o->dx,
                        .dw = o->dw,
                        .fast_forward = o->fast_forward,
                        .fast_gradient = o->fast_gradient};
    int64_t site = DELAYED_SITES * index;
    TRY(operand_create(arena, f8, ranks, site, DTYPE_F8E4M3, &layer->x));
    TRY(operand_create(arena, f8, ranks, site + 1, DTYPE_F8E4M3, &layer->w));
    TRY(operand_create(arena, f8, ranks, site + 2, o->gradient, &layer->dy));
    weight->layer = layer;
    return OK;
}

Status float8_create(const Float8Options *options, const Model *model, Parameters *parameters,
                     Float8 **out) {
    Float8 *f8 = *out = arena_alloc(&parameters->arena, sizeof *f8);
    int64_t layers = 0, index = 0;
    if (f8 == NULL) return no_memory();
    for (int i = 0; i < parameters->count; i++)
        layers += is_layer(options, model, parameters->list[i]);
    *f8 = (Float8){.options = *options, .sites = DELAYED_SITES * layers};
    if (options->is_delayed) TRY(state_declare(parameters->store, parameters->sharding.ranks, f8));
    for (int i = 0; i < parameters->count; i++) {
        Parameter *parameter = parameters->list[i];
        if (!is_layer(options, model, parameter)) continue;
        TRY(layer_create(&parameters->arena, f8, &parameters->sharding, index++, parameter));
    }
    return OK;
}

bool float8_is_delayed(const Float8 *f8) { return f8 != NULL && f8->options.is_delayed; }

Status float8_initialize(const Float8 *f8, Device *device) {
    if (!float8_is_delayed(f8)) return OK;
    const Float8Options *o = &f8->options;
    const float first[DELAYED_SITES] = {float8_scale(DTYPE_F8E4M3, 32),
                                        float8_scale(DTYPE_F8E4M3, 1),
                                        float8_scale(o->gradient, (float)(64 / o->tokens))};
    size_t history = tensor_bytes(f8->history), scale = tensor_bytes(f8->scale);
    float *values = calloc(1, history > scale ? history : scale);
    if (values == NULL) return OUT_OF_MEMORY("eight-bit scales");
    Status status = device_upload(device, f8->history, values);
    for (int64_t s = 0; s < f8->sites; s++) values[s * SCALE_STRIDE] = first[s % DELAYED_SITES];
    if (!failed(status)) status = device_upload(device, f8->scale, values);
    free(values);
    return status;
}

void float8_gather_record(Program *p, const Float8 *f8, const Collectives *collectives) {
    if (!float8_is_delayed(f8) || collectives == NULL || collectives->size == 1) return;
    program_label(p, "float8");
    all_gather_record(p, collectives, f8->observed, "all_gather of float8's observations");
}

/* Elements that a replay of the program quantizes. */
static double elements_of(const Program *p) {
    double elements = 0;
    for (int i = 0; i < p->n_nodes; i++) {
        const Node *node = p->nodes[i];
        if (node->op == &quantize_op) elements += (double)tensor_count(node->inputs[0]);
    }
    return elements;
}

void float8_scales_record(Program *p, const Float8 *f8, int64_t accumulation, Tensor *step) {
    if (!float8_is_delayed(f8) || program_failed(p)) return;
    double ranks = (double)f8->observed->shape[0];
    DelayedScaleAttrs attrs = {.forward = DTYPE_F8E4M3,
                               .gradient = f8->options.gradient,
                               .elements = elements_of(p) * (double)accumulation * ranks};
    program_label(p, "float8");
    delayed_scale_record(p, attrs, step, f8->observed, f8->history, f8->scale, f8->saturated);
}
