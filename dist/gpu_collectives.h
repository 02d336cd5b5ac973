/* Collectives for gradients on GPUs, one rank per GPU. NCCL runs on a separate stream, so that a
 * reduction overlaps backward, and is captured into the graph of the step like any kernel.
 *
 * The communicator is non-blocking: every call is polled against a deadline, and asynchronous
 * errors are checked before each replay. A failure aborts the communicator and names the rank and
 * the cause. dlopen loads libnccl at run time, so the program starts without it. Source: NCCL 2.28,
 * "Creating a communicator with options", "Fault tolerance".
 *
 * NCCL refuses ranks that share one GPU. For those, the staged collectives sum through pinned host
 * memory and MPI. */
#pragma once

#include "core/collectives.h"
#include "dist/watchdog.h"
#include "dist/world.h"

typedef struct GpuCollectives GpuCollectives;

/* Both use the current GPU of the calling thread. `deadline` is in seconds. Collective. Errors:
 * STATUS_CONFIG if NCCL is missing or too old, or the build lacks it; STATUS_FAILURE with the
 * failed call. */
NODISCARD Status nccl_collectives_create(World *world, Watchdog *watchdog, double deadline,
                                         GpuCollectives **out);
NODISCARD Status staged_collectives_create(World *world, Watchdog *watchdog, GpuCollectives **out);

/* The collectives that a program calls; valid as long as `collectives`. Sums of f32 and f64. */
Collectives gpu_collectives_table(GpuCollectives *collectives);

/* A note on why a faster method was refused; "" if there is none. */
const char *gpu_collectives_note(const GpuCollectives *collectives);

/* Unmaps the memory of other ranks. Must precede freeing memory that has been in a collective (CUDA
 * C++ Programming Guide, "Interprocess Communication"). The next collective of a new program maps
 * it again; a program that has already been replayed must not be replayed after this. NULL-safe.
 * Collective. */
void gpu_collectives_release(GpuCollectives *collectives);

/* Collective. */
void gpu_collectives_destroy(GpuCollectives **collectives);
