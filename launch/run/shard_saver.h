/* Shard saver: saves the state of a run with checkpoint.sharded: each rank writes its shard
 * (checkpoints/shards.h). Ranks need not have all states, and nothing is gathered. */
#pragma once

#include "launch/run/state.h"

typedef struct ShardSaver ShardSaver;

/* A background writer of this rank's shards into saver_folder(directory). Collective. Errors:
 * STATUS_CONFIG if a rank does not see the files that rank 0 writes; STATUS_OUT_OF_MEMORY;
 * STATUS_FAILURE. */
NODISCARD Status shard_saver_create(const Experiment *e, const char *directory, ShardSaver **out);

/* Begins a snapshot of this rank's shard, and copies and writes it in the background. On the CPU
 * the state must not change before shard_saver_copy_rest; a GPU's programs wait by themselves
 * (device_copy_start). The values are those of rank 0. Waits for the previous save first, and
 * returns its failure on all ranks. Collective. */
NODISCARD Status shard_saver_start(ShardSaver *saver, const Progress *progress);

/* Copies what is left of the last snapshot. NULL-safe. Not collective. */
void shard_saver_copy_rest(const ShardSaver *saver);

/* Whether a start would not wait for the previous save on this rank. True for NULL. Not
 * collective. */
bool shard_saver_is_idle(const ShardSaver *saver);

/* Waits until the last checkpoint is durable on all ranks. NULL-safe. Collective. */
NODISCARD Status shard_saver_finish(ShardSaver *saver);

/* Not collective. */
void shard_saver_destroy(ShardSaver **saver);
