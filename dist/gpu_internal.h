/* What the two kinds of GPU collectives share: a stream, the events that tie it to the caller's, and a table. */
#pragma once

#include "dist/gpu_collectives.h"
#include "dist/internal.h"

#include <cuda_runtime.h>

struct GpuCollectives {
    World *world;
    Watchdog *watchdog;
    cudaStream_t stream;     /* the reductions' own */
    cudaEvent_t ready, done; /* the data is there; everything is summed */
    Status (*reduce)(GpuCollectives *c, void *data, int64_t count, const char *label); /* enqueues on `stream` */
    Status (*check)(GpuCollectives *c); /* what has gone wrong since; before each replay */
    void (*close)(GpuCollectives *c);   /* frees `kind` */
    void *kind;                         /* NCCL's or MPI's own */
};

NODISCARD Status gpu_check(cudaError_t error, const char *what);

/* A table with stream and events, `kind` to be filled in. Not collective. */
NODISCARD Status gpu_collectives_open(World *world, Watchdog *watchdog, GpuCollectives **out);
