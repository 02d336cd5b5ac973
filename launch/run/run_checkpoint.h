/* The checkpoint that a program reads from. Not collective. */
#pragma once

#include "checkpoints/checkpoint.h"

/* Opens the newest good checkpoint of a run directory, or the file itself that `path` names.
 * *warnings: what was passed over, "" for nothing; in the arena. Errors: STATUS_DATA where there is
 * none, and what checkpoint_open says. */
NODISCARD Status run_checkpoint_open(const char *path, Arena *arena, CheckpointFile **out,
                                     const char **warnings);
