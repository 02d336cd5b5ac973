/* Writer: saves checkpoints in the background. It waits until the tensors' data have arrived
 * (CheckpointContents), and copies them while they do not change: training waits for what is left
 * of them before it changes them. At most one save is in flight; the next one waits for it. Main
 * thread; not collective. */
#pragma once

#include "checkpoints/shards.h"

typedef struct CheckpointWriter CheckpointWriter;

/* Creates the image of `image_bytes` (checkpoint_image_bytes). Errors: STATUS_OUT_OF_MEMORY;
 * STATUS_FAILURE without a thread. */
NODISCARD Status checkpoint_writer_create(size_t image_bytes, CheckpointWriter **out);

/* Starts a snapshot and checkpoint_write to `dir` on another thread. `contents`, what it points to
 * and the tensors must not change before checkpoint_writer_copy_rest, and `dir` outlives the save.
 * Until then other threads use HDF5 only in snapshots. Errors: those of the previous save, after
 * which nothing is saved; STATUS_FAILURE without a thread. */
NODISCARD Status checkpoint_writer_save(CheckpointWriter *writer,
                                        const CheckpointContents *contents, const char *dir,
                                        int64_t step, CheckpointKeep keep);

/* The same for shard `index` of a save (shards.h), of these parts. `whole`: the contents of the
 * checkpoint, on the rank that began the save; NULL on other ranks. Takes over the lock; save->dir
 * outlives the save. */
NODISCARD Status checkpoint_writer_save_shard(CheckpointWriter *writer, ShardedSave *save,
                                              int index, const CheckpointContents *parts,
                                              const CheckpointContents *whole, CheckpointKeep keep);

/* Waits until the save in flight has begun its snapshot, and copies what it has not copied yet,
 * with all threads, once it has arrived. After it the tensors may change. Does nothing if no save
 * is in flight. */
void checkpoint_writer_copy_rest(const CheckpointWriter *writer);

/* Whether another rank has ended the last save of a shard; after checkpoint_writer_wait. */
bool checkpoint_writer_is_given_up(const CheckpointWriter *writer);

/* Whether checkpoint_writer_save would not wait. */
bool checkpoint_writer_is_idle(const CheckpointWriter *writer);

/* Why the last save with keep.in_memory has written nothing; OK while a save is in flight. Such a
 * save does not fail otherwise. */
NODISCARD Status checkpoint_writer_missed(const CheckpointWriter *writer);

/* Waits until the pending save is durable; returns its error. */
NODISCARD Status checkpoint_writer_wait(CheckpointWriter *writer);

/* Also waits. Discards the error of a save that checkpoint_writer_wait has not returned, so call
 * that first. */
void checkpoint_writer_destroy(CheckpointWriter **writer);
