/* The checkpoint that a program reads from. Not collective. */
#pragma once

#include "checkpoints/checkpoint.h"

/* Opens the newest good checkpoint of a run directory, or the checkpoint that `path` names.
 * *warnings, in the arena, lists skipped checkpoints; "": none. Errors: STATUS_DATA if there is no
 * checkpoint, and those of checkpoint_open. */
NODISCARD Status run_checkpoint_open(const char *path, Arena *arena, CheckpointFile **out,
                                     const char **warnings);

/* The step of the newest good checkpoint of a run directory; -1: none, or it cannot be read. */
int64_t run_checkpoint_step(const char *directory);
