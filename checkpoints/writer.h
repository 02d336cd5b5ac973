/* Writer: saves checkpoints in the background; training waits for the snapshot only. One save is in
 * flight at most: a second one waits for the first. Main thread; not collective (rank 0 has a
 * writer). */
#pragma once

#include "checkpoints/checkpoint.h"

typedef struct CheckpointWriter CheckpointWriter;

/* Makes `dir` where it is missing (its parent must be there), and the image of `image_bytes`
 * (checkpoint_image_bytes). Errors: STATUS_FAILURE. */
NODISCARD Status checkpoint_writer_create(const char *dir, int keep, size_t image_bytes,
                                          CheckpointWriter **out);

/* Takes a snapshot and starts writing it as this step; the file of step `best` stays (-1: none).
 * Errors: those of the save before this one, and nothing is saved then; those of
 * checkpoint_snapshot. */
NODISCARD Status checkpoint_writer_save(CheckpointWriter *writer,
                                        const CheckpointContents *contents, int64_t step,
                                        int64_t best);

/* Returns when what was started is durable; its error. */
NODISCARD Status checkpoint_writer_wait(CheckpointWriter *writer);

/* Waits too; an error that nobody waited for is lost, so call checkpoint_writer_wait before. */
void checkpoint_writer_destroy(CheckpointWriter **writer);
