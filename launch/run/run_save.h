/* Decides when a run saves a checkpoint, and saves it. */
#pragma once

#include "launch/run/run.h"

/* Whether checkpoint.interval has passed, or the last evaluation was the best. Not collective. */
bool run_save_is_due(const Run *run);

/* From now on an update waits until the state before it has been copied for the last save. Not
 * collective. */
void run_save_open(Run *run);

/* Starts to save a checkpoint. Rank 0 writes it while the others wait in their next reduction; with
 * checkpoint.sharded all ranks write. Collective. */
NODISCARD Status run_save(Run *run);

/* The same for a snapshot in the memory of hosts (run_memory.h). Collective. */
NODISCARD Status run_save_memory(Run *run);

/* Waits until the last checkpoint is durable. Collective with checkpoint.sharded. */
NODISCARD Status run_save_wait(Run *run);
