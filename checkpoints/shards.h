/* Shards: a checkpoint that every rank writes a part of, the directory DIR/step_%08d, complete or
 * absent.
 *
 *   shard_%05d.h5   a part of each tensor: its next elements, in one dimension, under its name. The
 *                   parts of shards 0, 1, ... in this order are the tensor; a shard without
 *                   elements of a tensor does not have it. Integers `save`, `shard`.
 *   manifest.h5     all values and texts; each tensor with its dtype and shape, without data; the
 *                   tensor `shards`, u8 (N, 16): the XXH3-128 of each shard; the integer `save`;
 *                   the text `order`: a line "KIND NAME" for each value and tensor
 *
 * Each is a checkpoint file (checkpoint.h) of the same step. `save` is a random number, the same in
 * all files of a save, so shards of two saves of one step have different hashes.
 *
 * The directory grows as DIR/.step_%08d.ID.hourglass with ID = `save`. Every rank writes and syncs
 * its shard there. The rank that began the save waits for all shards, writes the manifest and
 * renames the directory. It finds the shards through the file system, so this needs no
 * communication, and all ranks must see the same directory. A rank that cannot write its shard
 * removes the directory, which ends the save on all ranks. The rank that began the save holds the
 * lock of the temporary directory (file_lock). One whose lock is free is a leftover. */
#pragma once

#include "checkpoints/checkpoint.h"

/* A save in progress, with equal values on all ranks, except the lock. */
typedef struct ShardedSave {
    const char *dir;
    int64_t step;
    uint64_t id;
    int shards;
    int lock; /* descriptor of the temporary directory, on the rank that began the save; else 0 */
} ShardedSave;

/* Removes what dead saves left in save->dir, chooses an id, and creates and locks the temporary
 * directory. One rank calls this. Errors: STATUS_FAILURE. */
NODISCARD Status shards_begin(ShardedSave *save);

/* Whether this rank sees the temporary directory. */
bool shards_is_visible(const ShardedSave *save);

/* Removes the temporary directory, if it exists, and unlocks it. */
void shards_give_up(ShardedSave *save);

/* The contents of shard `index` with these parts (n_dims = 1), and of the manifest; in the arena.
 * Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status shards_contents(const ShardedSave *save, int index,
                                 const CheckpointContents *parts, Arena *arena,
                                 CheckpointContents *out);
NODISCARD Status shards_manifest(const ShardedSave *save, const CheckpointContents *whole,
                                 Arena *arena, CheckpointContents *out);

/* Writes shard `index`. *is_given_up: another rank has ended the save, and the result is OK. On
 * failure this rank ends it. Uses no HDF5. Errors: those of checkpoint_write. */
NODISCARD Status shards_write(ShardedSave *save, int index, const CheckpointImage *image,
                              CheckpointKeep keep, bool *is_given_up);

/* Waits for all shards, enters their hashes into the image of the manifest, writes it, gives the
 * directory its name, and removes the oldest checkpoints as checkpoint_write does. The rank that
 * began the save calls this after shards_write. *is_given_up and errors: as shards_write; it uses
 * no HDF5 either. */
NODISCARD Status shards_commit(ShardedSave *save, CheckpointImage *manifest, CheckpointKeep keep,
                               bool *is_given_up);

/* Writes a checkpoint of shards as the single file `path`, which must not exist, with the bytes
 * that checkpoint_save would write. Errors: STATUS_DATA, also if the checkpoint is one file
 * already; STATUS_FAILURE. */
NODISCARD Status shards_merge(const CheckpointFile *file, const char *path);
