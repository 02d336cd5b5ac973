/* The layout of parameters: groups, buckets, and the sections of optimizers' states. */
#include "nn/parameters.h"

#include "core/base/checked.h"
#include "core/ops/reduce.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* PART_ALIGNMENT: each part is a multiple of this number of elements, 64 bytes of f32, so that
 * 16-byte accesses are aligned in every dtype. */
enum { FIRST_BUCKET_BYTES = 1 << 20, BUCKET_BYTES = 25 << 20, PART_ALIGNMENT = 16 };

/* Elements of the largest tensor; a bucket's padding for any number of ranks cannot overflow. */
static const int64_t TENSOR_MOST = (int64_t)1 << 45;

typedef struct TensorSize {
    int64_t elements;
    int index;
} TensorSize;

/* The bucket that is open: parameters of one group in order, not yet in the sections. Its segments
 * have equal lengths: one, or with SHARD_TENSORS one a rank. */
typedef struct OpenBucket {
    Parameters *parameters;
    int group, segments;
    Parameter **list;
    int count;
    TensorSize *sorted;     /* (count) */
    int *owner;             /* (count): the segment of each parameter */
    int64_t *loads, *rows;  /* (segments): elements and rows so far */
    int64_t elements;       /* of all parameters */
    int64_t length, height; /* of a segment: elements and rows, with padding */
} OpenBucket;

static Status no_memory(void) {
    return ERROR(STATUS_OUT_OF_MEMORY, "out of memory while building the model");
}

static int64_t rounded_up(int64_t count, int64_t multiple) {
    return (count + multiple - 1) / multiple * multiple;
}

/* As a section stores it. */
static int64_t rows_of(const Parameter *parameter) {
    return rounded_up(parameter->shape[0], STORE_ALIGNMENT);
}

static int64_t elements_of(const Parameter *parameter) {
    int64_t columns = parameter->n_dims == 2 ? parameter->shape[1] : 1;
    return rounded_up(parameter->shape[0] * columns, STORE_ALIGNMENT);
}

static Status size_check(const Parameter *parameter) {
    int64_t elements = parameter->shape[0],
            columns = parameter->n_dims == 2 ? parameter->shape[1] : 1;
    if (checked_mul_i64(elements, columns, &elements) && elements <= TENSOR_MOST) return OK;
    return ERROR(STATUS_CONFIG, "%s: the tensor is too large to address", parameter->name);
}

/* ---- sections -------------------------------------------------------------------------------- */

/* Whether the section exists and holds whole tensors. */
static bool is_whole(const Parameters *parameters, const Section *section) {
    bool is_always = section == parameters->weights || section == parameters->grads;
    return section != NULL && (is_always || !parameters->sharding.is_sharded);
}

static Status tensor_add(Parameters *parameters, Section *section, const Parameter *parameter,
                         Tensor **out) {
    if (!is_whole(parameters, section)) return OK;
    return section_add(parameters->store, section, parameter->name, parameter->n_dims,
                       parameter->shape, out);
}

static Status section_end_segment(const Parameters *parameters, Section *section, int64_t length) {
    return is_whole(parameters, section) ? section_pad(section, length) : OK;
}

static bool group_has_state(const Parameters *parameters, int group, const char *name) {
    const Optimizer *optimizer = parameters->groups[group].optimizer;
    for (int i = 0; optimizer != NULL && optimizer->states[i].name != NULL; i++) {
        if (strcmp(optimizer->states[i].name, name) == 0) return true;
    }
    return false;
}

static Status state_add(Parameters *parameters, const ParameterState *state,
                        const Parameter *parameter) {
    Tensor *values;
    if (!is_whole(parameters, state->section)) return OK;
    return section_add(parameters->store, state->section, parameter->name,
                       state->per_row ? 1 : parameter->n_dims, parameter->shape, &values);
}

static Status tensors_add(const OpenBucket *open, Parameter *parameter) {
    Parameters *parameters = open->parameters;
    TRY(tensor_add(parameters, parameters->weights, parameter, &parameter->weight));
    TRY(tensor_add(parameters, parameters->grads, parameter, &parameter->grad));
    TRY(tensor_add(parameters, parameters->masters, parameter, &parameter->master));
    for (int s = 0; s < parameters->n_states; s++) {
        if (group_has_state(parameters, open->group, parameters->states[s].name))
            TRY(state_add(parameters, &parameters->states[s], parameter));
    }
    parameter->weight->needs_grad = parameters->grads != NULL;
    parameter->bucket = parameters->n_buckets;
    return OK;
}

/* Pads all sections to the end of a segment. */
static Status segment_end(const OpenBucket *open, int segment) {
    Parameters *parameters = open->parameters;
    const ElementRange *bucket = &parameters->buckets[parameters->n_buckets];
    int64_t end = bucket->first + (segment + 1) * open->length;
    TRY(section_end_segment(parameters, parameters->weights, end));
    TRY(section_end_segment(parameters, parameters->grads, end));
    TRY(section_end_segment(parameters, parameters->masters, end));
    for (int s = 0; s < parameters->n_states; s++) {
        const ParameterState *state = &parameters->states[s];
        int64_t length = state->per_row ? open->height : open->length;
        if (!group_has_state(parameters, open->group, state->name)) continue;
        TRY(section_end_segment(parameters, state->section,
                                state->elements + (segment + 1) * length));
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

/* ---- buckets --------------------------------------------------------------------------------- */

static int64_t bucket_first(const Parameters *parameters) {
    int n = parameters->n_buckets;
    return n == 0 ? 0 : parameters->buckets[n - 1].first + parameters->buckets[n - 1].count;
}

static Status bucket_open(Parameters *parameters, int group, OpenBucket *out) {
    bool cuts = parameters->groups[group].shard == SHARD_ELEMENTS;
    int segments = cuts ? 1 : parameters->sharding.ranks;
    size_t n = (size_t)parameters->count + 1;
    Arena *arena = &parameters->arena;
    *out = (OpenBucket){.parameters = parameters, .group = group, .segments = segments};
    out->list = arena_alloc(arena, n * sizeof *out->list);
    out->owner = arena_alloc(arena, n * sizeof *out->owner);
    out->sorted = arena_alloc(arena, n * sizeof *out->sorted);
    out->loads = arena_alloc(arena, (size_t)segments * sizeof *out->loads);
    out->rows = arena_alloc(arena, (size_t)segments * sizeof *out->rows);
    bool has_lists = out->list != NULL && out->owner != NULL && out->sorted != NULL;
    return has_lists && out->loads != NULL && out->rows != NULL ? OK : no_memory();
}

/* The largest first, then in order. */
static int by_size(const void *a, const void *b) {
    const TensorSize *x = a, *y = b;
    if (x->elements != y->elements) return x->elements > y->elements ? -1 : 1;
    return x->index - y->index;
}

static int lightest_segment(const OpenBucket *open) {
    int lightest = 0;
    for (int s = 1; s < open->segments; s++) {
        if (open->loads[s] < open->loads[lightest]) lightest = s;
    }
    return lightest;
}

static void segment_take(OpenBucket *open, int i, int segment) {
    open->owner[i] = segment;
    open->loads[segment] += elements_of(open->list[i]);
    open->rows[segment] += rows_of(open->list[i]);
}

/* Graham 1969, "Bounds on multiprocessing timing anomalies": longest processing time first. */
static void segments_balance(OpenBucket *open) {
    int64_t length = 0, height = 0, ranks = open->parameters->sharding.ranks;
    for (int s = 0; s < open->segments; s++) open->loads[s] = open->rows[s] = 0;
    for (int i = 0; i < open->count; i++)
        open->sorted[i] = (TensorSize){elements_of(open->list[i]), i};
    qsort(open->sorted, (size_t)open->count, sizeof *open->sorted, by_size);
    for (int i = 0; i < open->count; i++)
        segment_take(open, open->sorted[i].index, lightest_segment(open));
    for (int s = 0; s < open->segments; s++) {
        if (open->loads[s] > length) length = open->loads[s];
        if (open->rows[s] > height) height = open->rows[s];
    }
    int64_t parts = open->parameters->parts / open->segments;
    open->length = rounded_up(length, parts * PART_ALIGNMENT);
    open->height = rounded_up(height, ranks / open->segments * STORE_ALIGNMENT);
}

static Status segment_lay(const OpenBucket *open, int segment) {
    int64_t row = segment * open->height;
    for (int i = 0; i < open->count; i++) {
        Parameter *parameter = open->list[i];
        if (open->owner[i] != segment) continue;
        TRY(tensors_add(open, parameter));
        parameter->row = row;
        row += rows_of(parameter);
    }
    return segment_end(open, segment);
}

/* Adds the bucket to the states of its group's optimizer. */
static void states_extend(const OpenBucket *open) {
    Parameters *parameters = open->parameters;
    for (int s = 0; s < parameters->n_states; s++) {
        ParameterState *state = &parameters->states[s];
        int64_t count = open->segments * (state->per_row ? open->height : open->length);
        if (!group_has_state(parameters, open->group, state->name)) count = 0;
        state->buckets[parameters->n_buckets] = (ElementRange){state->elements, count};
        state->elements += count;
    }
}

/* Lays out the parameters of the bucket and empties it. */
static Status bucket_close(OpenBucket *open) {
    Parameters *parameters = open->parameters;
    if (open->count == 0) return OK;
    segments_balance(open);
    parameters->buckets[parameters->n_buckets] =
        (ElementRange){bucket_first(parameters), open->segments * open->length};
    for (int s = 0; s < open->segments; s++) TRY(segment_lay(open, s));
    states_extend(open);
    parameters->n_buckets++;
    open->count = 0;
    open->elements = 0;
    return OK;
}

/* Adds a parameter. First closes a bucket that is full or of another kind. */
static Status bucket_take(OpenBucket *open, Parameter *parameter) {
    const Parameter *last = open->count == 0 ? NULL : open->list[open->count - 1];
    bool is_first = open->parameters->n_buckets == 0 && open->segments == 1;
    int64_t most = is_first ? FIRST_BUCKET_BYTES : (int64_t)BUCKET_BYTES * open->segments;
    bool differs = last != NULL && last->is_embedding != parameter->is_embedding;
    TRY(size_check(parameter));
    if (differs || open->elements * (int64_t)sizeof(float) >= most) TRY(bucket_close(open));
    open->list[open->count++] = parameter;
    open->elements += elements_of(parameter);
    return OK;
}

/* ---- groups ---------------------------------------------------------------------------------- */

static bool group_has(const ParameterGroup *group, const Parameter *parameter) {
    if (!(group->kinds & 1u << parameter_kind(parameter))) return false;
    return group->pattern == NULL || fnmatch(group->pattern, parameter->name, 0) == 0;
}

/* The first group that accepts the parameter; the number of groups if none does. */
static int group_find(const Parameters *parameters, const Parameter *parameter) {
    int group = 0;
    while (group < parameters->n_groups && !group_has(&parameters->groups[group], parameter))
        group++;
    return group;
}

static Status group_lay(Parameters *parameters, int group) {
    ParameterGroup *g = &parameters->groups[group];
    OpenBucket open;
    TRY(bucket_open(parameters, group, &open));
    g->first_bucket = parameters->n_buckets;
    g->range.first = bucket_first(parameters);
    for (int i = parameters->count - 1; i >= 0; i--) {
        if (group_find(parameters, parameters->list[i]) == group)
            TRY(bucket_take(&open, parameters->list[i]));
    }
    TRY(bucket_close(&open));
    g->end_bucket = parameters->n_buckets;
    g->range.count = bucket_first(parameters) - g->range.first;
    return OK;
}

static Status groups_check(const Parameters *parameters) {
    for (int i = 0; i < parameters->count; i++) {
        if (group_find(parameters, parameters->list[i]) < parameters->n_groups) continue;
        return ERROR(STATUS_CONFIG, "no parameter group has '%s'", parameters->list[i]->name);
    }
    return OK;
}

static ElementRange *buckets_create(Parameters *parameters) {
    size_t bytes = ((size_t)parameters->count + 1) * sizeof(ElementRange);
    ElementRange *buckets = arena_alloc(&parameters->arena, bytes);
    if (buckets != NULL) memset(buckets, 0, bytes);
    return buckets;
}

/* Adds a state, unless there is one with its name. */
static Status state_declare(Parameters *parameters, OptimizerState declared) {
    int s = 0;
    while (s < parameters->n_states && strcmp(parameters->states[s].name, declared.name) != 0) s++;
    if (s < parameters->n_states) return OK;
    if (s == PARAMETERS_MAX_STATES)
        return ERROR(STATUS_OUT_OF_MEMORY, "more than %d states of optimizers",
                     PARAMETERS_MAX_STATES);
    ParameterState *state = &parameters->states[parameters->n_states++];
    *state = (ParameterState){.name = declared.name, .per_row = declared.per_row};
    state->buckets = buckets_create(parameters);
    if (state->buckets == NULL) return no_memory();
    return store_section(parameters->store, declared.name, BUFFER_MOMENTS, parameters->grads->dtype,
                         &state->section);
}

static Status states_declare(Parameters *parameters, int group) {
    const OptimizerState *states = parameters->groups[group].optimizer->states;
    for (int i = 0; states[i].name != NULL; i++) TRY(state_declare(parameters, states[i]));
    return OK;
}

static Status groups_lay(Parameters *parameters) {
    bool trains = parameters->grads != NULL;
    if (!trains && parameters->n_groups == 0)
        parameters->groups[parameters->n_groups++] = (ParameterGroup){.name = "all", .kinds = ~0u};
    TRY(groups_check(parameters));
    for (int g = 0; g < parameters->n_groups; g++) {
        if (trains) TRY(states_declare(parameters, g));
        TRY(group_lay(parameters, g));
    }
    return OK;
}

Status parameters_layout(Parameters *parameters) {
    int64_t ranks = parameters->sharding.ranks;
    parameters->parts = (L2_NORM_PARTS + ranks - 1) / ranks * ranks;
    parameters->buckets = buckets_create(parameters);
    if (parameters->buckets == NULL) return no_memory();
    TRY(groups_lay(parameters));
    if (!parameters->sharding.is_sharded) return OK;
    TRY(shards_add(parameters, parameters->masters, tensor_count(parameters->weights->flat)));
    for (int s = 0; s < parameters->n_states; s++)
        TRY(shards_add(parameters, parameters->states[s].section, parameters->states[s].elements));
    return OK;
}
