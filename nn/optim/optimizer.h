/* Optimizers, and the groups of parameters that they update.
 *
 * An optimizer is one file in nn/optim/ with its states, which memory plans and checkpoints list by
 * name, and a function that records its ops. */
#pragma once

#include "core/element_range.h"
#include "core/program.h"

typedef struct Parameter Parameter;
typedef struct Parameters Parameters;
typedef struct GroupUpdate GroupUpdate;

enum { OPTIMIZER_MAX_STATES = 4 };

typedef struct Optimizer {
    const char *name;
    /* State vectors as long as the weights, up to the first NULL. Checkpoints store them under
     * these names. */
    const char *states[OPTIMIZER_MAX_STATES + 1];
    void (*record)(Program *p, const GroupUpdate *update);
} Optimizer;

/* Hyperparameters; each optimizer reads its own. */
typedef struct OptimizerOptions {
    double beta1, beta2, eps;
} OptimizerOptions;

/* Parameters with one optimizer and one set of hyperparameters. A group is a range of whole buckets
 * in the layout. */
typedef struct ParameterGroup {
    const char *name;
    bool (*has)(
        const Parameter *parameter); /* a parameter belongs to the first group that accepts it */
    const Optimizer *optimizer;
    OptimizerOptions options;
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
