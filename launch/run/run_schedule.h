/* The learning rate schedule of a run: lr_scheduler in steps, for a run of the length that
 * training.stop gives.
 *
 * Shares are of the steps of the run. Under a time limit these are estimated before each step: by
 * the predicted time of a step before the first one, then by the mean time so far. A share is then
 * the share of the time limit that has passed, so the schedule ends with the run, whatever the
 * clock does. The estimate follows from two values of the checkpoint, `step` and `train_s`, so a
 * resumed run goes on with it. Rank 0's clock decides. With training.batch_schedule tokens are
 * counted as steps in the same way, by the mean tokens of a step so far; the decay of wsd in steps
 * or tokens starts that long before the end that the phases give. */
#pragma once

#include "launch/run/experiment.h"
#include "nn/optim/schedule.h"

/* Steps of a run at this position; RUN_STEPS_UNKNOWN if a time limit alone ends it and the time of
 * a step is unknown. Not collective. */
#define RUN_STEPS_UNKNOWN 1e15
double run_steps(const Experiment *e, RunPosition at);

/* The schedule for the next step, of phase e->phase, with the learning rates of
 * optimizer.lr_reference. Not collective; requires the resolved batch. */
Schedule run_schedule(const Experiment *e, RunPosition at);

/* Whether the schedule or the phases depend on train_s. */
bool run_schedule_is_timed(const Config *config);

/* The values that optimizer.lr_reference and optimizer.beta2_half_life give for the tokens of a
 * step;
 * "" without these keys. Not collective; requires the resolved batch. */
void rates_remark(const Experiment *e, char *text, size_t bytes);

/* A phase of several: where it starts, the tokens of a step, the factor of the learning rates, the
 * windows, the predicted time. Not collective; requires the resolved batch. */
void phase_describe(const Experiment *e, int phase, char *text, size_t bytes);

/* A warning if training.stop ends the run before the warm-up or the decay ends, or if both take
 * longer than the run; "" otherwise, and if the length of the run is unknown. Not collective;
 * requires the resolved batch. */
void schedule_remark(const Experiment *e, char *text, size_t bytes);
