/* Parameters: a model's weights, masters, gradients and optimizer states, in sections of one
 * layout.
 *
 * Parameter groups are contiguous (by default matrices, then vectors), each in reverse order of
 * declaration, the order in which backward completes them. Weights, masters and gradients have
 * equal element offsets, and the states of an optimizer have equal offsets within a group, so an
 * update, the norm and an all-reduce process long vectors.
 *
 * The layout is divided into buckets, the units of reduction over ranks. A bucket is closed at 25
 * MiB of gradient (the first at 1 MiB, so that reductions start early: Li et al. 2020,
 * arXiv:2006.15704, sections 3.2.3 and 4.2). Groups never share a bucket. The embeddings have a
 * separate bucket, because the lookup completes their gradients at the very end (but see
 * nn/optim/embedding_gradients.h). Each bucket is padded so that it divides into equal parts, and
 * the parts divide evenly among the ranks.
 *
 * With a sharded optimizer (ZeRO stage 1: Rajbhandari et al. 2020, arXiv:1910.02054, section 5.1) a
 * rank has states and masters only for its shard of each bucket. Their sections are shorter by the
 * number of ranks and hold the shards in the order of the buckets. The shards of a bucket have
 * equal lengths. A shard is a range of elements and may begin within a matrix. In groups with
 * SHARD_TENSORS it is not: the largest tensor goes to the rank with the fewest elements so far, and
 * the ranks' tensors are padded to the same length. Such a bucket is closed at 25 MiB a rank, which
 * makes for little padding. Its layout depends on the number of ranks, and not on whether the
 * optimizer is sharded. */
#pragma once

#include "core/device.h"
#include "core/ops/linear_gradient.h"
#include "core/store.h"
#include "nn/optim/optimizer.h"

/* INIT_FIRST: 1, then zeros. */
typedef enum ParameterInit { INIT_ZEROS, INIT_ONES, INIT_FIRST, INIT_NORMAL } ParameterInit;

enum { PARAMETER_MAX_SPLITS = 3 };

struct Parameter {
    const char *name; /* as Hugging Face's GPT-2 names it, without `transformer.` */
    int n_dims;
    int64_t shape[2];
    ParameterInit init;
    double std;        /* standard deviation of INIT_NORMAL */
    int64_t init_rows; /* rows that are initialized; the others (vocabulary padding) stay zero */
    bool is_embedding; /* looked up by the model's first op; backward completes its gradient last */
    /* Rows of the matrices in it, such as q, k and v, which an optimizer of matrices updates each
     * by itself; up to the first 0. All 0: one matrix. */
    int64_t splits[PARAMETER_MAX_SPLITS];
    int bucket;     /* by parameters_layout, like the tensors */
    int64_t row;    /* its first row among those of its bucket */
    Tensor *weight; /* in the dtype of the computation */
    Tensor *master; /* f32 copy; NULL if the weight is f32 or f64, or the master is sharded */
    Tensor *grad;   /* NULL without training */
    const LinearF8 *layer; /* its products in programs that train; NULL: none in eight bits */
};

/* Matrices of products; tables whose rows are looked up; an output layer that is not an embedding
 * too; biases, norms, short convolutions and scalars. */
typedef enum ParameterKind {
    PARAMETER_MATRIX,
    PARAMETER_EMBEDDING,
    PARAMETER_HEAD,
    PARAMETER_VECTOR,
    PARAMETER_KINDS
} ParameterKind;
ParameterKind parameter_kind(const Parameter *parameter);

/* This rank, and whether it keeps only its shards of the optimizer's states. */
typedef struct Sharding {
    int rank, ranks;
    bool is_sharded;
} Sharding;

enum { PARAMETERS_MAX_GROUPS = 40, PARAMETERS_MAX_STATES = 8 };

/* Kinds of state, which a checkpoint stores by name: 0, the weights (the masters if there are any),
 * then the states of the optimizers. */
enum { STATE_WEIGHTS = 0, STATE_KINDS_MAX = 1 + PARAMETERS_MAX_STATES };

/* A state of one or more optimizers; it covers the groups whose optimizer names it. */
typedef struct ParameterState {
    const char *name;
    bool per_row;
    Section *section;
    int64_t elements;      /* on all ranks together */
    ElementRange *buckets; /* (n_buckets): ranges of these elements; empty: not covered */
} ParameterState;

struct Parameters {
    Store *store;
    Sharding sharding;                  /* one rank, unless set before parameters_layout */
    Section *weights, *masters, *grads; /* masters, grads: NULL if there are none */
    ParameterState states[PARAMETERS_MAX_STATES];
    int n_states;
    ParameterGroup groups[PARAMETERS_MAX_GROUPS];
    int n_groups;
    Parameter **list; /* in the order of declaration */
    int count, capacity;
    ElementRange *buckets; /* (n_buckets), the sizes of the buckets, each divisible by `parts` */
    int n_buckets;
    int64_t parts; /* parts per bucket, a multiple of the ranks: the same for every number of ranks
                      that divides 256 */
    Arena arena;
};

/* `training`: with gradients and states. `dtype`: of the computation; masters, gradients and states
 * are f32 (f64 for f64). */
NODISCARD Status parameters_create(Store *store, DType dtype, bool training, Parameters **out);
void parameters_destroy(Parameters **parameters);

/* Declares a parameter. parameters_layout creates its tensors. */
NODISCARD Status parameters_add(Parameters *parameters, Parameter description, Parameter **out);

/* Adds a group after the others; nn/optim/groups.h adds the default ones. Only training needs
 * groups. Errors: STATUS_OUT_OF_MEMORY beyond PARAMETERS_MAX_GROUPS. */
NODISCARD Status parameters_add_group(Parameters *parameters, ParameterGroup group);

/* Lays out the sections; no declarations are allowed afterwards. Errors: STATUS_CONFIG naming a
 * trainable parameter without a group; STATUS_OUT_OF_MEMORY. */
NODISCARD Status parameters_layout(Parameters *parameters);

/* Initializes weights and masters from (seed, index of the parameter, index of the element): the
 * same on every rank. */
NODISCARD Status parameters_initialize(const Parameters *parameters, Device *device, uint64_t seed);

/* The group of a bucket. */
const ParameterGroup *parameters_group_of(const Parameters *parameters, int bucket);

/* The number of kinds of state; a kind's name and section; the kind with a name, which must
 * exist. */
int parameters_state_count(const Parameters *parameters);
const char *parameters_state_name(const Parameters *parameters, int kind);
Section *parameters_state(const Parameters *parameters, int kind);
int parameters_find_state(const Parameters *parameters, const char *name);

/* Elements of a kind of state on all ranks together. */
int64_t parameters_state_elements(const Parameters *parameters, int kind);

/* The elements of a bucket, and of a parameter, among these; empty if there is no such state. */
ElementRange parameters_state_bucket(const Parameters *parameters, int kind, int bucket);
ElementRange parameters_state_range(const Parameters *parameters, int kind,
                                    const Parameter *parameter);

/* This rank's shard of a bucket among these elements; of STATE_WEIGHTS also in the gradients. In a
 * sharded section it starts at the bucket's first element divided by the number of ranks. */
ElementRange parameters_state_shard(const Parameters *parameters, int kind, int bucket);

/* The elements of a parameter in this rank's shard of its bucket; empty if there are none. */
ElementRange parameters_state_part(const Parameters *parameters, int kind,
                                   const Parameter *parameter);

/* The first element of a parameter in the section of this rank; -1 if the rank does not hold all of
 * it. */
int64_t parameters_state_place(const Parameters *parameters, int kind, const Parameter *parameter);

/* The group's elements in the section of this kind of state, which the group must have. */
ElementRange parameters_group_range(const Parameters *parameters, int kind,
                                    const ParameterGroup *group);

/* True if the section of this kind holds this rank's shards only. */
bool parameters_is_sharded(const Parameters *parameters, int kind);

/* Sets a kind of state of parameter `index`, or this rank's shards of it, to f32 values (f64 for
 * f64). Does nothing if the parameter has no such state. Sets weights together with their masters,
 * rounded. Not collective. */
NODISCARD Status parameters_write(const Parameters *parameters, Device *device, int kind, int index,
                                  const void *values);

/* Trainable scalars without vocabulary padding. */
int64_t parameters_count(const Parameters *parameters);

/* The parameter whose gradient holds this element of the gradients' section; NULL before the first
 * parameter. */
const char *parameters_name_at(const Parameters *parameters, int64_t element);
