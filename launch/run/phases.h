/* The phases of a run: training.batch_schedule and attention.window as schedules, merged. In each
 * phase a step has the same micro-batches and windows, and so the same programs.
 *
 * The phase of a step follows from the step's number, the tokens and the training time before it,
 * which are in the checkpoint. Not collective. */
#pragma once

#include "launch/config/config.h"
#include "nn/training.h"

typedef struct Phases {
    int count;                              /* at least 1 */
    ConfigLength from[TRAINING_MAX_PHASES]; /* the first is 0 */
    TrainingPhase list[TRAINING_MAX_PHASES];
} Phases;

/* What a run has done. */
typedef struct RunPosition {
    int64_t step, tokens;
    double train_s;
} RunPosition;

/* The done share of a run, in [0, 1], by the stop rule that is nearest to its end. */
double run_share(const ConfigStop *stop, RunPosition at);

/* The end that comes first, if all rules go on as so far. */
typedef struct RunEnd {
    const char *rule; /* the key of the config: training.stop.steps, ... */
    double done;      /* the share of the way there, in [0, 1] */
    char limit[40];   /* 1300 steps, 10.0 M tokens, 1 m 55 s */
} RunEnd;

RunEnd run_next_end(const ConfigStop *stop, RunPosition at);

/* The phases of a config without `auto`s. `micro_tokens`: ranks x batch_size x block_size, of which
 * each step takes the multiple, at least 1, that is nearest to the schedule's tokens. Borrows from
 * the config. */
Phases phases_of(const Config *config, int64_t micro_tokens);

/* Tokens of the first step on this many ranks; 0 with batch_size auto. */
int64_t phases_first_tokens(const Config *config, int64_t ranks);

/* Replaces the tokens of a schedule by these multiples. Errors: STATUS_CONFIG with the position of
 * a row if they differ by more than a tenth. */
NODISCARD Status batch_schedule_round(ConfigBatchSchedule *schedule, int64_t micro_tokens);

/* The index of the phase of the next step. */
int phases_at(const Phases *phases, const ConfigStop *stop, RunPosition at);

/* Whether phases depend on train_s. */
bool phases_are_timed(const Config *config);
