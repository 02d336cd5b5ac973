/* State: what a checkpoint holds of a run, and the saving and loading of it.
 *
 * Tensors `weights.NAME` (the f32 masters where the weights are narrower), `m.NAME`, `v.NAME`;
 * attributes for Progress, the seed, the number of ranks and the resolved config. That is all the
 * state there is: dropout and the order of the data are functions of (seed, step). */
#pragma once

#include "checkpoints/checkpoint.h"
#include "launch/run/experiment.h"
#include "nn/optim/loss_scale.h"

/* The text `tokenizer` of a checkpoint where nobody told what its tokens stand for. */
#define TOKENIZER_UNKNOWN "unknown"

typedef struct Progress {
    int64_t step, tokens; /* steps done; the data's cursor is step x global batch */
    double train_s;
    double best_val_loss, val_loss;
    int64_t best_step, evaluated_step; /* -1: none yet */
    LossScale loss_scale;
} Progress;

typedef struct Saver Saver;

/* A background writer of checkpoints into `directory`/checkpoints. `config` is the text that they
 * carry. */
NODISCARD Status saver_create(const Experiment *e, const char *directory, const char *config,
                              Saver **out);

/* Where the optimizer's state is shared: brings all of it to rank 0, the only one with a saver,
 * before saver_start. Else nothing. Collective; `saver` is NULL on the other ranks. */
NODISCARD Status saver_gather(Saver *saver, const Experiment *e);

/* Snapshots the run (this is what stalls) and writes it while training goes on. Waits for the one
 * before, and returns its failure. NULL-safe, as is saver_finish. */
NODISCARD Status saver_start(Saver *saver, const Progress *progress);

/* Waits until the last one is durable. */
NODISCARD Status saver_finish(Saver *saver);
void saver_destroy(Saver **saver);

/* Loads weights, moments and progress from a checkpoint file, and checks that its config fits this
 * one. *changes, for free(), says what differs and may: see config_changes. Not collective.
 * Errors: STATUS_DATA naming file and place, STATUS_CONFIG naming each field that differs. */
NODISCARD Status state_load(Experiment *e, const char *path, Progress *progress, char **changes);

/* Only the tensors, into whatever sections the experiment has (generate has no moments). Not
 * collective. */
NODISCARD Status state_load_weights(const Experiment *e, const CheckpointFile *file, Arena *arena);
