/* Parameters: a model's weights with all that training keeps beside them, in sections of one
 * layout.
 *
 * Parameter groups follow each other (by default matrices, then vectors), each in the reverse of
 * its parameters' declaration: backward finishes them in that order. Weights, masters and gradients
 * lie at equal element offsets, and an optimizer's states at offsets that are equal within a group,
 * so an update, the norm and an all-reduce see long vectors.
 *
 * The layout is cut into buckets, which are what ranks reduce at a time: a bucket is closed once it
 * holds 25 MiB of gradient (the first 1 MiB, so that reducing starts early: Li et al. 2020,
 * arXiv:2006.15704, sections 3.2.3 and 4.2). Groups never share a bucket, and the embeddings, whose
 * gradients the lookup completes at the very end, have one of their own (but see
 * nn/optim/embedding_gradients.h). Each bucket is padded so that it divides into equal parts, and
 * these evenly among the ranks.
 *
 * Where the optimizer is sharded (ZeRO stage 1: Rajbhandari et al. 2020, arXiv:1910.02054, section
 * 5.1), states and masters exist only for this rank's parts, its shard of each bucket, packed in
 * the buckets' order in sections that are as much shorter. A shard is a range of elements: it may
 * begin within a matrix. */
#pragma once

#include "core/device.h"
#include "core/store.h"
#include "nn/optim/optimizer.h"

typedef enum ParameterInit { INIT_ZEROS, INIT_ONES, INIT_NORMAL } ParameterInit;

struct Parameter {
    const char *name; /* as Hugging Face's GPT-2 names it, without `transformer.` */
    int n_dims;
    int64_t shape[2];
    ParameterInit init;
    double std;        /* of INIT_NORMAL */
    int64_t init_rows; /* rows that are initialized; the rest (vocabulary padding) stays zero */
    bool
        is_embedding; /* looked up by the model's first op, whose gradient comes last in backward */
    int bucket;       /* by parameters_layout, as are the tensors */
    Tensor *weight;   /* in the dtype that computes */
    Tensor *master;   /* f32 copy; NULL where the weight itself is f32 or f64, or sharded */
    Tensor *grad;     /* NULL where the model does not train */
};

/* Which rank this is, and whether it keeps only its shards of the optimizer's states. */
typedef struct Sharding {
    int rank, ranks;
    bool is_sharded;
} Sharding;

enum { PARAMETERS_MAX_GROUPS = 16, PARAMETERS_MAX_STATES = 8 };

/* Kinds of state, which a checkpoint holds by name: 0, the weights (the masters where there are
 * any), then those of the optimizers. */
enum { STATE_WEIGHTS = 0, STATE_KINDS_MAX = 1 + PARAMETERS_MAX_STATES };

/* A state of one or several optimizers; it covers the groups whose optimizer names it. */
typedef struct ParameterState {
    const char *name;
    Section *section;
    int64_t elements;                           /* on all ranks together */
    int64_t group_first[PARAMETERS_MAX_GROUPS]; /* of these; -1: the group is not covered */
} ParameterState;

struct Parameters {
    Store *store;
    Sharding sharding;                  /* one rank, unless set before parameters_layout */
    Section *weights, *masters, *grads; /* masters, grads: NULL where there are none */
    ParameterState states[PARAMETERS_MAX_STATES];
    int n_states;
    ParameterGroup groups[PARAMETERS_MAX_GROUPS];
    int n_groups;
    Parameter **list; /* in the order of declaration */
    int count, capacity;
    ElementRange *buckets; /* (n_buckets) that the layout consists of, each divisible by `parts` */
    int n_buckets;
    int64_t parts; /* of each bucket, a multiple of the ranks: the same for every number of ranks
                      that divides 256 */
    Arena arena;
};

/* `training`: with gradients and states. `dtype` computes; masters, gradients and states are f32
 * (f64 for f64). */
NODISCARD Status parameters_create(Store *store, DType dtype, bool training, Parameters **out);
void parameters_destroy(Parameters **parameters);

/* Declares one. The tensors come with parameters_layout. */
NODISCARD Status parameters_add(Parameters *parameters, Parameter description, Parameter **out);

/* Adds a group behind the others; nn/optim/groups.h adds the default ones. Without training none is
 * needed. Errors: STATUS_NO_ROOM beyond PARAMETERS_MAX_GROUPS. */
NODISCARD Status parameters_add_group(Parameters *parameters, ParameterGroup group);

/* Lays out the sections; nothing may be declared afterwards. Errors: STATUS_CONFIG naming a
 * parameter that is to be trained and belongs to no group; STATUS_NO_ROOM. */
NODISCARD Status parameters_layout(Parameters *parameters);

/* Weights and masters from (seed, index of the parameter, index of the element): the same on every
 * rank. */
NODISCARD Status parameters_initialize(const Parameters *parameters, Device *device, uint64_t seed);

/* This rank's shard of a bucket: its elements in the weights and the gradients. */
ElementRange parameters_shard(const Parameters *parameters, int bucket);

/* The group that a bucket belongs to. */
const ParameterGroup *parameters_group_of(const Parameters *parameters, int bucket);

/* How many kinds of state there are; a kind's name and section; the kind of a name, which must
 * exist. */
int parameters_state_count(const Parameters *parameters);
const char *parameters_state_name(const Parameters *parameters, int kind);
Section *parameters_state(const Parameters *parameters, int kind);
int parameters_find_state(const Parameters *parameters, const char *name);

/* Elements of a kind of state on all ranks together. */
int64_t parameters_state_elements(const Parameters *parameters, int kind);

/* Where a bucket begins among these; -1: its group has no such state. In a section that is sharded,
 * this rank's shard of it begins at that divided by the ranks. */
int64_t parameters_state_place(const Parameters *parameters, int kind, int bucket);

/* The group's elements in the section of a kind of state that it has. */
ElementRange parameters_group_range(const Parameters *parameters, int kind,
                                    const ParameterGroup *group);

/* True where the section of this kind holds this rank's shards alone. */
bool parameters_is_sharded(const Parameters *parameters, int kind);

/* Sets a kind of state of parameter `index`, or as much of it as this rank holds, to values of f32
 * (f64 for f64); nothing where the parameter has no such state. Weights are set and rounded along
 * with their masters. Not collective. */
NODISCARD Status parameters_write(const Parameters *parameters, Device *device, int kind, int index,
                                  const void *values);

/* Trainable scalars, vocabulary padding not counted. */
int64_t parameters_count(const Parameters *parameters);

/* The parameter whose gradient holds this element of the gradients' section; NULL before the
 * first. */
const char *parameters_name_at(const Parameters *parameters, int64_t element);
