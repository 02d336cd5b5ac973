/* From a config to allocated memory: decides what `auto` stands for, records once, allocates. */
#pragma once

#include "launch/run/experiment.h"

/* Decides data.batch_size and the attention backend (attention.pick: measured computes on the
 * device, unless it only plans), records for them, and compares the device's backends.
 * Collective: all ranks take the least batch, and rank 0's backend. */
NODISCARD Status experiment_plan(Experiment *e);

/* Allocates the device's memory and, where it trains, initializes the weights from the seed.
 * Errors: STATUS_NO_ROOM, before anything is allocated, where the plan is over the capacity
 * (launch/run/memory_search.h). Collective. */
NODISCARD Status experiment_allocate(Experiment *e);
