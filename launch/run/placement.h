/* Placement: which rank computes on which GPU. */
#pragma once

#include "core/base/arena.h"
#include "core/device.h"
#include "dist/world.h"

/* *shares: two ranks use one GPU, which `may_share` allows. Collective; all ranks get the same
 * Status. Errors: STATUS_CONFIG naming both ranks and the GPU. */
NODISCARD Status placement_check(World *world, const Device *device, bool may_share, bool *shares);

/* A table of rank, host and GPU, one line each, followed by `note`; "" for one rank or no GPU. In
 * the arena on rank 0; NULL on the others. Collective. */
NODISCARD Status placement_table(World *world, const Device *device, const char *note, Arena *arena,
                                 char **out);
