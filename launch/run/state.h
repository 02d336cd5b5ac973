/* State: the content of a run's checkpoint; loads it (saver.h saves it).
 *
 * Tensors `weights.NAME` (the f32 masters of 16-bit weights), `m.NAME`, `v.NAME`; with eight-bit
 * products `float8.scale` and `float8.history` (nn/float8_training.h); attributes for Progress, the
 * seed, the number of ranks and the resolved config. This is the complete state: dropout and the
 * order of the data are functions of (seed, step). */
#pragma once

#include "checkpoints/checkpoint.h"
#include "launch/run/experiment.h"
#include "nn/optim/loss_scale.h"
#include "nn/optim/noise_scale.h"

typedef struct Progress {
    int64_t step, tokens; /* completed steps; the position in the data is step x global batch */
    double train_s;
    double best_val_loss, val_loss;
    int64_t best_step, evaluated_step; /* -1: none yet */
    bool best_is_dropped; /* by this resume: it was of other tokens than evaluations are now */
    LossScale loss_scale;
    NoiseScale noise;
    double joules; /* NaN: unknown */
} Progress;

/* Loads weights, moments and progress from a checkpoint file, and checks that its config fits this
 * one. *changes, for free(), lists the allowed differences: see config_changes. Not collective.
 * Errors: STATUS_DATA naming file and position, STATUS_CONFIG naming each key that differs.
 * `branches`: for a new run that goes on from a checkpoint of another one (branch_from), which may
 * differ as config_compare_branch says. Its step number follows from the tokens so far and its own
 * batch; it has no best evaluation yet. */
NODISCARD Status state_load(Experiment *e, const char *path, bool branches, Progress *progress,
                            char **changes);

/* Loads only the tensors, into the sections that the experiment has (generate has no moments). Not
 * collective. */
NODISCARD Status state_load_weights(const Experiment *e, const CheckpointFile *file, Arena *arena);
