/* What the two kinds of GPU collectives share: a stream, the events that tie it to the caller's,
 * and a table. */
#pragma once

#include "dist/gpu_collectives.h"
#include "dist/internal.h"

#include <cuda_runtime.h>

enum { GPU_IN_FLIGHT = 64 }; /* how far back a wait may look */

/* Enqueues one collective on the collectives' own stream; in place. */
typedef Status (*EnqueueFn)(GpuCollectives *c, void *data, int64_t count, DType dtype,
                            const char *label);

struct GpuCollectives {
    World *world;
    Watchdog *watchdog;
    cudaStream_t stream; /* the collectives' own */
    cudaEvent_t ready;   /* the data is there */
    cudaEvent_t
        done[GPU_IN_FLIGHT];   /* the one that was started as number i % GPU_IN_FLIGHT is through */
    int64_t started, in_group; /* ever; since the last wait for all */
    EnqueueFn all_reduce, reduce_scatter, all_gather;
    Status (*check)(GpuCollectives *c); /* what has gone wrong since; before each replay */
    void (*release)(GpuCollectives *c); /* NULL: holds nothing of other ranks */
    void (*close)(GpuCollectives *c);   /* frees `kind` */
    void *kind;                         /* NCCL's or MPI's own */
    char note[512];
};

NODISCARD Status gpu_check(cudaError_t error, const char *what);

/* A table with stream and events, `kind` to be filled in. Not collective. */
NODISCARD Status gpu_collectives_open(World *world, Watchdog *watchdog, GpuCollectives **out);
