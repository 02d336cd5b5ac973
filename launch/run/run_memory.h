/* Snapshots in the memory of hosts (checkpoints/memory_snapshot.h), with
 * checkpoint.memory_interval. The first rank of every host keeps one; with a sharded optimizer rank
 * 0, which gathers it, and the first rank on another host. */
#pragma once

#include "launch/run/run.h"

/* Copies the newest whole snapshot of any host to the checkpoints on disk if it is newer than
 * these, and then removes all snapshots of this run. Rank 0 holds the directory. Collective. */
NODISCARD Status run_memory_recover(Run *run);

/* Makes the folders for new snapshots, and the savers of whole files that are missing; does nothing
 * without checkpoint.memory_interval. Collective. Errors: STATUS_OUT_OF_MEMORY without enough
 * memory in /dev/shm. */
NODISCARD Status run_memory_open(Run *run);

/* Whether rank 0 wants a snapshot by checkpoint.memory_interval and is not saving. Rank 0 only; not
 * collective. */
bool run_memory_is_due(const Run *run);

/* Removes this run's snapshots, after a last checkpoint on disk. Not collective. */
void run_memory_remove(Run *run);
