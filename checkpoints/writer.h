/* Writer: saves checkpoints in the background; training waits only for the snapshot. At most one
 * save is in flight; the next one waits for it. Main thread; not collective (rank 0 has a
 * writer). */
#pragma once

#include "checkpoints/checkpoint.h"

typedef struct CheckpointWriter CheckpointWriter;

/* Creates `dir` if it is missing (its parent must exist), and the image of `image_bytes`
 * (checkpoint_image_bytes). Errors: STATUS_FAILURE. */
NODISCARD Status checkpoint_writer_create(const char *dir, int keep, size_t image_bytes,
                                          CheckpointWriter **out);

/* Takes a snapshot and starts writing it as this step. The file of step `best` is kept (-1: none).
 * Errors: those of the previous save, after which nothing is saved; those of
 * checkpoint_snapshot. */
NODISCARD Status checkpoint_writer_save(CheckpointWriter *writer,
                                        const CheckpointContents *contents, int64_t step,
                                        int64_t best);

/* Waits until the pending save is durable; returns its error. */
NODISCARD Status checkpoint_writer_wait(CheckpointWriter *writer);

/* Also waits. Discards the error of a save that checkpoint_writer_wait has not returned, so call
 * that first. */
void checkpoint_writer_destroy(CheckpointWriter **writer);
