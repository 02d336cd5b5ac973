/* Optimizers, and the groups of parameters that they update.
 *
 * An optimizer is one file in nn/optim/ with its states, which memory plans and checkpoints list by
 * name, and a function that records its ops. */
#pragma once

#include "core/element_range.h"
#include "core/ops/muon.h"
#include "core/program.h"

#include <stdbool.h>

typedef struct Parameter Parameter;
typedef struct Parameters Parameters;
typedef struct GroupUpdate GroupUpdate;

enum { OPTIMIZER_MAX_STATES = 4 };

/* A vector with one value per weight, or per row of a matrix. Checkpoints store it under this
 * name. */
typedef struct OptimizerState {
    const char *name;
    bool per_row;
} OptimizerState;

typedef struct Optimizer {
    const char *name;
    OptimizerState states[OPTIMIZER_MAX_STATES + 1]; /* up to the first without a name */
    void (*record)(Program *p, const GroupUpdate *update);
} Optimizer;

/* Of core/ops/muon.h. */
typedef struct MuonOptions {
    double momentum, momentum_start;
    int64_t momentum_warmup; /* steps */
    bool nesterov, cautious;
    MuonIteration iteration;
} MuonOptions;

/* Hyperparameters; each optimizer reads its own. */
typedef struct OptimizerOptions {
    double beta1, beta2, eps; /* AdamW's; Muon's beta2 is that of NorMuon */
    MuonOptions muon;
} OptimizerOptions;

/* The unit of a sharded optimizer: a rank updates any range of elements of a bucket, or whole
 * tensors. */
typedef enum ShardUnit { SHARD_ELEMENTS, SHARD_TENSORS } ShardUnit;

/* Parameters with one optimizer and one set of hyperparameters. A group is a range of whole buckets
 * in the layout. */
typedef struct ParameterGroup {
    const char *name;
    /* A parameter belongs to the first group whose set of 1 << ParameterKind has its kind and whose
     * pattern, as of a shell, matches its name; NULL matches all. */
    unsigned kinds;
    const char *pattern;
    const Optimizer *optimizer;
    OptimizerOptions options;
    ShardUnit shard;
    double lr_scale; /* factor of the schedule's learning rate */
    double weight_decay;
    /* Filled in by parameters_layout. */
    ElementRange range;
    int first_bucket, end_bucket;
} ParameterGroup;

/* The update of buckets [first_bucket, end_bucket) of a group, or of this rank's shards of them.
 * Without sharding one update covers the whole group. */
struct GroupUpdate {
    const Parameters *parameters;
    const ParameterGroup *group;
    int first_bucket, end_bucket;
    double clip;             /* limit of the gradient's norm; 0: none */
    Tensor *step, *norm;     /* the StepState; the norm of all gradients */
    Tensor *first_nonfinite; /* see core/ops/adamw.h */
};
