/* Fit: what a run needs of its device against what it may take, and the batch and the attention
 * backend that follow. All of it is known from plans, before anything is allocated. */
#pragma once

#include "launch/run/experiment.h"

/* What the run may take of its device: memory_budget, and no more than others leave free of it.
 * On the CPU the ranks of a host share its memory, and what checkpoints are written from is left
 * free. */
NODISCARD Status fit_room(const Experiment *e, size_t *bytes);

/* The largest batch whose plan fits into the room; the experiment is left planned for some
 * other. Not collective. Errors: STATUS_NO_ROOM where not even one sequence fits, saying what
 * that needs. */
NODISCARD Status fit_batch(Experiment *e, int64_t *out);

/* Whether the experiment, as planned, fits. Not collective. Errors: STATUS_NO_ROOM with what it
 * needs, what there is, and the largest batch that would fit; the plan is then lost. */
NODISCARD Status fit_check(Experiment *e);

/* Seconds that a step is predicted to take by e->ceilings, the other ranks' part in it
 * (communication) left out; 0 on the CPU, and where the ceilings are not known. */
double fit_step_seconds(const Experiment *e);

/* attention.pick: predicted. The backend whose predicted tokens a second are the most at the
 * config's batch, at its own largest one where that is auto, becomes the only one of
 * attention.backends. Collective: rank 0 decides. */
NODISCARD Status fit_pick(Experiment *e);
