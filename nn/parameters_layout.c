/* The layout of parameters: groups, buckets, and the sections of optimizers' states. */
#include "nn/parameters.h"

#include "core/ops/reduce.h"

#include <string.h>

/* PART_ALIGNMENT: each part is a multiple of this number of elements, 64 bytes of f32, so that
 * 16-byte accesses are aligned in every dtype. */
enum { FIRST_BUCKET_BYTES = 1 << 20, BUCKET_BYTES = 25 << 20, PART_ALIGNMENT = 16 };

static Status no_memory(void) {
    return ERROR(STATUS_NO_ROOM, "out of memory while building the model");
}

static Status tensor_add(Parameters *parameters, Section *section, const Parameter *parameter,
                         Tensor **out) {
    if (section == NULL) return OK;
    return section_add(parameters->store, section, parameter->name, parameter->n_dims,
                       parameter->shape, out);
}

static Status tensors_add(Parameters *parameters, int group, Parameter *parameter) {
    Tensor *state;
    TRY(tensor_add(parameters, parameters->weights, parameter, &parameter->weight));
    TRY(tensor_add(parameters, parameters->grads, parameter, &parameter->grad));
    parameter->weight->needs_grad = parameters->grads != NULL;
    parameter->bucket = parameters->n_buckets;
    if (parameters->sharding.is_sharded) return OK;
    TRY(tensor_add(parameters, parameters->masters, parameter, &parameter->master));
    for (int s = 0; s < parameters->n_states; s++) {
        if (parameters->states[s].group_first[group] >= 0)
            TRY(tensor_add(parameters, parameters->states[s].section, parameter, &state));
    }
    return OK;
}

/* With a sharded optimizer: for each master and state one vector with this rank's shards. */
static Status shards_add(const Parameters *parameters, Section *section, int64_t elements) {
    Tensor *all;
    if (section == NULL) return OK;
    elements /= parameters->sharding.ranks;
    return section_add(parameters->store, section, "shards", 1, &elements, &all);
}

static int64_t bucket_first(const Parameters *parameters) {
    int n = parameters->n_buckets;
    return n == 0 ? 0 : parameters->buckets[n - 1].first + parameters->buckets[n - 1].count;
}

/* Pads all unsharded sections alike and closes their last bucket. */
static Status bucket_close(Parameters *parameters, int group) {
    bool is_sharded = parameters->sharding.is_sharded;
    int64_t multiple = parameters->parts * PART_ALIGNMENT, first = bucket_first(parameters);
    if (tensor_count(parameters->weights->flat) == first) return OK;
    TRY(section_pad(parameters->weights, multiple));
    if (parameters->grads != NULL) TRY(section_pad(parameters->grads, multiple));
    if (parameters->masters != NULL && !is_sharded) TRY(section_pad(parameters->masters, multiple));
    for (int s = 0; s < parameters->n_states && !is_sharded; s++) {
        if (parameters->states[s].group_first[group] >= 0)
            TRY(section_pad(parameters->states[s].section, multiple));
    }
    parameters->buckets[parameters->n_buckets++] =
        (ElementRange){first, tensor_count(parameters->weights->flat) - first};
    return OK;
}

/* Adds a parameter. First closes a bucket that is full or of another kind. */
static Status parameter_lay(Parameters *parameters, int group, const Parameter **before,
                            Parameter *parameter) {
    const Parameter *last = *before;
    int64_t most = parameters->n_buckets == 0 ? FIRST_BUCKET_BYTES : BUCKET_BYTES;
    int64_t held = (tensor_count(parameters->weights->flat) - bucket_first(parameters)) *
                   (int64_t)sizeof(float);
    bool differs = last != NULL && last->is_embedding != parameter->is_embedding;
    if (differs || held >= most) TRY(bucket_close(parameters, group));
    *before = parameter;
    return tensors_add(parameters, group, parameter);
}

/* The first group that accepts the parameter; the number of groups if none does. */
static int group_find(const Parameters *parameters, const Parameter *parameter) {
    int group = 0;
    while (group < parameters->n_groups && !parameters->groups[group].has(parameter)) group++;
    return group;
}

/* Extends all states of the group's optimizer by the group. */
static void group_end(Parameters *parameters, int group) {
    int64_t count = parameters->groups[group].range.count;
    for (int s = 0; s < parameters->n_states; s++) {
        if (parameters->states[s].group_first[group] >= 0) parameters->states[s].elements += count;
    }
}

static Status group_lay(Parameters *parameters, int group) {
    ParameterGroup *g = &parameters->groups[group];
    const Parameter *before = NULL;
    g->first_bucket = parameters->n_buckets;
    g->range.first = bucket_first(parameters);
    for (int i = parameters->count - 1; i >= 0; i--) {
        if (group_find(parameters, parameters->list[i]) == group)
            TRY(parameter_lay(parameters, group, &before, parameters->list[i]));
    }
    TRY(bucket_close(parameters, group));
    g->end_bucket = parameters->n_buckets;
    g->range.count = bucket_first(parameters) - g->range.first;
    group_end(parameters, group);
    return OK;
}

static Status groups_check(const Parameters *parameters) {
    for (int i = 0; i < parameters->count; i++) {
        if (group_find(parameters, parameters->list[i]) < parameters->n_groups) continue;
        return ERROR(STATUS_CONFIG, "no parameter group has '%s'", parameters->list[i]->name);
    }
    return OK;
}

/* The state with this name; adds a new one. */
static Status state_take(Parameters *parameters, const char *name, ParameterState **out) {
    int s = 0;
    while (s < parameters->n_states && strcmp(parameters->states[s].name, name) != 0) s++;
    *out = &parameters->states[s];
    if (s < parameters->n_states) return OK;
    if (s == PARAMETERS_MAX_STATES)
        return ERROR(STATUS_NO_ROOM, "more than %d states of optimizers", PARAMETERS_MAX_STATES);
    parameters->n_states++;
    **out = (ParameterState){.name = name};
    for (int g = 0; g < PARAMETERS_MAX_GROUPS; g++) (*out)->group_first[g] = -1;
    return store_section(parameters->store, name, BUFFER_MOMENTS, parameters->grads->dtype,
                         &(*out)->section);
}

/* For this group the optimizer's states start at the end of the previous groups. */
static Status group_begin(Parameters *parameters, int group) {
    const char *const *names = parameters->groups[group].optimizer->states;
    for (int i = 0; names[i] != NULL; i++) {
        ParameterState *state;
        TRY(state_take(parameters, names[i], &state));
        state->group_first[group] = state->elements;
    }
    return OK;
}

static bool has_any(const Parameter *parameter) {
    (void)parameter;
    return true;
}

static Status groups_lay(Parameters *parameters) {
    bool trains = parameters->grads != NULL;
    if (!trains && parameters->n_groups == 0)
        parameters->groups[parameters->n_groups++] =
            (ParameterGroup){.name = "all", .has = has_any};
    TRY(groups_check(parameters));
    for (int g = 0; g < parameters->n_groups; g++) {
        if (trains) TRY(group_begin(parameters, g));
        TRY(group_lay(parameters, g));
    }
    return OK;
}

Status parameters_layout(Parameters *parameters) {
    int64_t ranks = parameters->sharding.ranks;
    parameters->parts = (L2_NORM_PARTS + ranks - 1) / ranks * ranks;
    parameters->buckets =
        arena_alloc(&parameters->arena, ((size_t)parameters->count + 1) * sizeof(ElementRange));
    if (parameters->buckets == NULL) return no_memory();
    TRY(groups_lay(parameters));
    if (!parameters->sharding.is_sharded) return OK;
    TRY(shards_add(parameters, parameters->masters, tensor_count(parameters->weights->flat)));
    for (int s = 0; s < parameters->n_states; s++)
        TRY(shards_add(parameters, parameters->states[s].section, parameters->states[s].elements));
    return OK;
}
