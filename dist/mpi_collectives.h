/* MPI collectives: core/collectives.h over MPI, for gradients in host memory.
 *
 * A communication thread runs the reductions in place, in the order in which they were started,
 * while the caller computes. With one rank every call returns at once and there is no thread.
 *
 * The order of the sum, f32 and f64, is a binary tree over ranks, ((g0 + g1) + (g2 + g3)) + ... It
 * is the same for each element, each size and each MPI library, so repeated runs are bit-identical.
 * If each rank also sums its micro-batches as a tree, runs on 1, 2, 4, 8, ... ranks are
 * bit-identical. Ranks beyond the largest power of two P first add into rank - P. Source:
 * Rabenseifner 2004, "Optimization of collective reduction operations", section 4. */
#pragma once

#include "core/collectives.h"
#include "dist/watchdog.h"
#include "dist/world.h"

typedef struct MpiCollectives MpiCollectives;

/* `watchdog` may be NULL. Memory: 4 MiB of scratch if there is more than one rank. Collective.
 * Errors: STATUS_FAILURE. */
NODISCARD Status mpi_collectives_create(World *world, Watchdog *watchdog, MpiCollectives **out);

/* The collectives that a program calls; valid as long as `collectives`.
 *
 * The ..._start functions wait while 64 reductions are pending. They copy the label (63 bytes) and
 * use it verbatim in messages: "all_reduce of bucket 3". Errors: STATUS_UNSUPPORTED for sums of
 * dtypes other than f32 and f64; STATUS_FAILURE if the elements do not divide into equal parts.
 *
 * wait returns the first failure since the last wait for all. */
Collectives mpi_collectives_table(MpiCollectives *collectives);

/* Completes all pending reductions and ends the thread. Collective. */
void mpi_collectives_destroy(MpiCollectives **collectives);
