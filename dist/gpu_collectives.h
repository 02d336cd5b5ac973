/* Collectives for gradients on GPUs, one rank a GPU: NCCL on a stream of its own, so that a
 * reduction runs while backward goes on, captured into the step's graph like any kernel.
 *
 * The communicator is non-blocking: every call is polled against a deadline, asynchronous errors
 * are asked for before each replay, and a failure aborts the communicator and names the rank and
 * the cause. libnccl is opened at run time, so that the program starts without it. Source: NCCL
 * 2.28, "Creating a communicator with options", "Fault tolerance".
 *
 * Where ranks share one GPU, which NCCL refuses, the staged collectives sum through pinned host
 * memory and MPI. */
#pragma once

#include "core/collectives.h"
#include "dist/watchdog.h"
#include "dist/world.h"

typedef struct GpuCollectives GpuCollectives;

/* Both: of the calling thread's current GPU. Collective. Errors: STATUS_CONFIG where NCCL is
 * missing or too old, or the build has none; STATUS_FAILURE naming what failed. `deadline` in
 * seconds. */
NODISCARD Status nccl_collectives_create(World *world, Watchdog *watchdog, double deadline,
                                         GpuCollectives **out);
NODISCARD Status staged_collectives_create(World *world, Watchdog *watchdog, GpuCollectives **out);

/* The table that a program is given; it lives as long as `collectives`. Sums of f32 and f64. */
Collectives gpu_collectives_table(GpuCollectives *collectives);

/* What was to be used and was refused, with the reason; "" where there is nothing to say. */
const char *gpu_collectives_note(const GpuCollectives *collectives);

/* Gives back what is mapped of other ranks' memory, which nobody may free before (CUDA C++
 * Programming Guide, "Interprocess Communication"). The next collective of a new program maps it
 * anew; one that has been replayed must not be replayed again. NULL-safe. Collective. */
void gpu_collectives_release(GpuCollectives *collectives);

/* Collective. */
void gpu_collectives_destroy(GpuCollectives **collectives);
