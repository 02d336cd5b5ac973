/* Optimizers, and the groups of parameters that they update.
 *
 * An optimizer is one file in nn/optim/: its states, which memory plans and checkpoints enumerate
 * by name, and a function that records its ops. */
#pragma once

#include "core/element_range.h"
#include "core/program.h"

typedef struct Parameter Parameter;
typedef struct Parameters Parameters;
typedef struct GroupUpdate GroupUpdate;

enum { OPTIMIZER_MAX_STATES = 4 };

typedef struct Optimizer {
    const char *name;
    /* Vectors as long as the weights; up to the first NULL. Checkpoints hold them under these
     * names. */
    const char *states[OPTIMIZER_MAX_STATES + 1];
    void (*record)(Program *p, const GroupUpdate *update);
} Optimizer;

/* Hyperparameters; each optimizer reads its own. */
typedef struct OptimizerOptions {
    double beta1, beta2, eps;
} OptimizerOptions;

/* Parameters with one optimizer and one set of hyperparameters. A group is a range of the layout:
 * whole buckets. */
typedef struct ParameterGroup {
    const char *name;
    bool (*has)(
        const Parameter *parameter); /* a parameter belongs to the first group that has it */
    const Optimizer *optimizer;
    OptimizerOptions options;
    double lr_scale; /* of the schedule's learning rate */
    double weight_decay;
    /* Filled in by parameters_layout. */
    ElementRange range;
    int first_bucket, end_bucket;
} ParameterGroup;

/* The update of some of a group's buckets [first_bucket, end_bucket), or of this rank's shards of
 * them: of all at once where the optimizer is not sharded. */
struct GroupUpdate {
    const Parameters *parameters;
    const ParameterGroup *group;
    int first_bucket, end_bucket;
    double clip;             /* of the gradient's norm; 0: none */
    Tensor *step, *norm;     /* the StepState; the norm of all gradients */
    Tensor *first_nonfinite; /* see core/ops/adamw.h */
};
