/* Writes the state of parameters from outside: by initialization, or from a checkpoint. */
#include "nn/parameters.h"

#include "core/convert.h"
#include "core/ops/copy.h"
#include "core/ops/initialize.h"

#include <stdlib.h>
#include <string.h>

const ParameterGroup *parameters_group_of(const Parameters *parameters, int bucket) {
    const ParameterGroup *group = parameters->groups;
    while (bucket >= group->end_bucket) group++;
    return group;
}

int parameters_state_count(const Parameters *parameters) { return 1 + parameters->n_states; }

const char *parameters_state_name(const Parameters *parameters, int kind) {
    return kind == STATE_WEIGHTS ? "weights" : parameters->states[kind - 1].name;
}

int parameters_find_state(const Parameters *parameters, const char *name) {
    int kind = 0;
    while (strcmp(parameters_state_name(parameters, kind), name) != 0) kind++;
    return kind;
}

Section *parameters_state(const Parameters *parameters, int kind) {
    if (kind != STATE_WEIGHTS) return parameters->states[kind - 1].section;
    return parameters->masters != NULL ? parameters->masters : parameters->weights;
}

int64_t parameters_state_elements(const Parameters *parameters, int kind) {
    return kind == STATE_WEIGHTS ? tensor_count(parameters->weights->flat)
                                 : parameters->states[kind - 1].elements;
}

ElementRange parameters_state_bucket(const Parameters *parameters, int kind, int bucket) {
    return kind == STATE_WEIGHTS ? parameters->buckets[bucket]
                                 : parameters->states[kind - 1].buckets[bucket];
}

/* Offset of this rank's shard of a bucket in a sharded section. */
static int64_t shard_place(const Parameters *parameters, int kind, int bucket) {
    return parameters_state_bucket(parameters, kind, bucket).first / parameters->sharding.ranks;
}

static bool is_per_row(const Parameters *parameters, int kind) {
    return kind != STATE_WEIGHTS && parameters->states[kind - 1].per_row;
}

ElementRange parameters_state_range(const Parameters *parameters, int kind,
                                    const Parameter *parameter) {
    const Tensor *weight = parameter->weight;
    ElementRange bucket = parameters_state_bucket(parameters, kind, parameter->bucket);
    if (bucket.count == 0) return (ElementRange){0, 0};
    if (is_per_row(parameters, kind))
        return (ElementRange){bucket.first + parameter->row, parameter->shape[0]};
    int64_t element = (int64_t)(weight->offset / dtype_size(weight->dtype));
    return (ElementRange){bucket.first + element - parameters->buckets[parameter->bucket].first,
                          tensor_count(weight)};
}

ElementRange parameters_state_shard(const Parameters *parameters, int kind, int bucket) {
    const Sharding *sharding = &parameters->sharding;
    ElementRange all = parameters_state_bucket(parameters, kind, bucket);
    int64_t count = all.count / sharding->ranks;
    return (ElementRange){all.first + sharding->rank * count, count};
}

/* The intersection of two ranges. */
static ElementRange intersection(ElementRange a, ElementRange b) {
    int64_t first = a.first > b.first ? a.first : b.first, a_end = a.first + a.count,
            b_end = b.first + b.count, end = a_end < b_end ? a_end : b_end;
    return (ElementRange){first, end > first ? end - first : 0};
}

ElementRange parameters_state_part(const Parameters *parameters, int kind,
                                   const Parameter *parameter) {
    return intersection(parameters_state_shard(parameters, kind, parameter->bucket),
                        parameters_state_range(parameters, kind, parameter));
}

int64_t parameters_state_place(const Parameters *parameters, int kind, const Parameter *parameter) {
    ElementRange range = parameters_state_range(parameters, kind, parameter);
    if (range.count == 0) return -1;
    if (!parameters_is_sharded(parameters, kind)) return range.first;
    ElementRange shard = parameters_state_shard(parameters, kind, parameter->bucket);
    bool is_inside =
        range.first >= shard.first && range.first + range.count <= shard.first + shard.count;
    return is_inside ? shard_place(parameters, kind, parameter->bucket) + range.first - shard.first
                     : -1;
}

ElementRange parameters_group_range(const Parameters *parameters, int kind,
                                    const ParameterGroup *group) {
    int64_t ranks = parameters_is_sharded(parameters, kind) ? parameters->sharding.ranks : 1;
    ElementRange range = parameters_state_bucket(parameters, kind, group->first_bucket);
    for (int b = group->first_bucket + 1; b < group->end_bucket; b++)
        range.count += parameters_state_bucket(parameters, kind, b).count;
    return (ElementRange){range.first / ranks, range.count / ranks};
}

bool parameters_is_sharded(const Parameters *parameters, int kind) {
    return parameters->sharding.is_sharded &&
           parameters_state(parameters, kind) != parameters->weights;
}

/* Draws values in f32: into the weights, or for 16-bit weights into the memory of the gradients,
 * which has the same length and is not in use yet. */
static void parameter_draw(Program *p, const Parameters *parameters, uint64_t seed, int index) {
    const Parameter *parameter = parameters->list[index];
    bool is_one = parameter->init == INIT_ONES || parameter->init == INIT_FIRST;
    InitializeAttrs attrs = {.std = parameter->init == INIT_NORMAL ? parameter->std : 0,
                             .value = is_one ? 1 : 0,
                             .seed = seed,
                             .index = index,
                             .n_rows = parameter->init == INIT_FIRST ? 1 : parameter->init_rows};
    initialize_record(p, parameters->masters == NULL ? parameter->weight : parameter->grad, attrs);
}

static Tensor *elements(Program *p, Section *section, int64_t first, int64_t count) {
    return program_view(p, &section->buffer, (size_t)first * dtype_size(section->dtype),
                        section->dtype, 1, &count);
}

static void masters_copy(Program *p, const Parameters *parameters) {
    Section *masters = parameters->masters, *drawn = parameters->grads;
    copy_record(p, parameters->weights->flat, drawn->flat, false);
    if (!parameters_is_sharded(parameters, STATE_WEIGHTS)) {
        copy_record(p, masters->flat, drawn->flat, false);
        return;
    }
    for (int s = 0; s < parameters->n_buckets && !program_failed(p); s++) {
        ElementRange shard = parameters_state_shard(parameters, STATE_WEIGHTS, s);
        copy_record(p, elements(p, masters, shard_place(parameters, STATE_WEIGHTS, s), shard.count),
                    elements(p, drawn, shard.first, shard.count), false);
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
    void *rounded = malloc(tensor_bytes(weight));
    if (rounded == NULL) return OUT_OF_MEMORY("weights");
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) {
        real_store(rounded, weight->dtype, i, (double)((const float *)values)[i]);
    }
    Status status = device_upload(device, weight, rounded);
    free(rounded);
    return status;
}

/* `count` elements of a section, starting at element `place`. */
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

/* The elements of a parameter that lie in this rank's shard of its bucket. */
static Status shard_write(const Parameters *parameters, Device *device, int kind,
                          const Parameter *parameter, const void *values) {
    Section *section = parameters_state(parameters, kind);
    ElementRange shard = parameters_state_shard(parameters, kind, parameter->bucket),
                 whole = parameters_state_range(parameters, kind, parameter),
                 own = parameters_state_part(parameters, kind, parameter);
    if (own.count == 0) return OK;
    int64_t place = shard_place(parameters, kind, parameter->bucket) + own.first - shard.first;
    size_t skipped = (size_t)(own.first - whole.first) * dtype_size(section->dtype);
    return range_write(device, section, place, own.count, (const char *)values + skipped);
}

Status parameters_write(const Parameters *parameters, Device *device, int kind, int index,
                        const void *values) {
    const Parameter *parameter = parameters->list[index];
    Section *section = parameters_state(parameters, kind);
    ElementRange whole = parameters_state_range(parameters, kind, parameter);
    if (kind == STATE_WEIGHTS) TRY(weight_write(device, parameter->weight, values));
    if (whole.count == 0 || section == parameters->weights) return OK;
    if (parameters_is_sharded(parameters, kind))
        return shard_write(parameters, device, kind, parameter, values);
    return range_write(device, section, whole.first, whole.count, values);
}
