/* From a config to allocated memory: resolves each `auto`, records once, allocates. */
#pragma once

#include "launch/run/experiment.h"

/* Decides data.batch_size and the attention backend (attention.pick: measured computes on the
 * device, except with --plan), records for them, and compares the device's backends. Collective:
 * all ranks take the least batch, and rank 0's backend. */
NODISCARD Status experiment_plan(Experiment *e);

/* Allocates the device's memory and, for training, initializes the weights from the seed. Errors:
 * STATUS_OUT_OF_MEMORY, before anything is allocated, if the plan exceeds the capacity
 * (launch/run/memory_search.h). Collective. */
NODISCARD Status experiment_allocate(Experiment *e);
