/* MPI collectives: core/collectives.h over MPI, for gradients in the host's memory.
 *
 * One communication thread takes the reductions in the order in which they were started, in place,
 * while the caller goes on computing. With one rank every call returns at once and there is no
 * thread.
 *
 * The order of the sum, f32 and f64: a binary tree over ranks, ((g0 + g1) + (g2 + g3)) + ..., the
 * same for each element and each size, whatever the MPI library. Repeated runs agree in every bit.
 * Where each rank sums its own micro-batches as a tree too, 1, 2, 4, 8, ... ranks agree in every
 * bit. Ranks beyond the largest power of two P add into rank - P first. Source: Rabenseifner 2004,
 * "Optimization of collective reduction operations", section 4. */
#pragma once

#include "core/collectives.h"
#include "dist/watchdog.h"
#include "dist/world.h"

typedef struct MpiCollectives MpiCollectives;

/* `watchdog` may be NULL. Memory: 4 MiB of scratch where there is more than one rank. Collective.
 * Errors: STATUS_FAILURE. */
NODISCARD Status mpi_collectives_create(World *world, Watchdog *watchdog, MpiCollectives **out);

/* The table that a program is given; it lives as long as `collectives`.
 *
 * ..._start waits where 64 are under way. Errors: STATUS_UNSUPPORTED for sums of other dtypes than
 * f32 and f64, STATUS_FAILURE where a vector has no whole part for each rank. The label's text is
 * copied (63 bytes) and used verbatim in messages: "all_reduce of bucket 3".
 *
 * wait returns the first failure of any that was started since the last wait for all. */
Collectives mpi_collectives_table(MpiCollectives *collectives);

/* Completes what was started, and ends the thread. Collective. */
void mpi_collectives_destroy(MpiCollectives **collectives);
