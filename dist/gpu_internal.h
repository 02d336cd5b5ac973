/* The state that NCCL and staged collectives share: a stream, the events that order it against the
 * caller's stream, and the functions of the implementation. */
#pragma once

#include "dist/channel.h"
#include "dist/gpu_collectives.h"
#include "dist/world_state.h"

#include <cuda_runtime.h>

enum { GPU_IN_FLIGHT = 64 }; /* the maximum of collectives that a wait may leave pending */

/* Enqueues one in-place collective on the collectives' stream. */
typedef Status (*EnqueueFn)(GpuCollectives *c, void *data, int64_t count, DType dtype,
                            const char *label);

struct GpuCollectives {
    World *world;
    Watchdog *watchdog;
    cudaStream_t stream;             /* runs only collectives */
    cudaEvent_t ready;               /* recorded when the data is ready */
    cudaEvent_t done[GPU_IN_FLIGHT]; /* done[i % GPU_IN_FLIGHT]: collective i has completed */
    int64_t started, in_group;       /* in total; since the last wait for all */
    EnqueueFn all_reduce, reduce_scatter, all_gather;
    Status (*check)(
        GpuCollectives *c); /* fails after an asynchronous error; called before each replay */
    void (*release)(GpuCollectives *c); /* NULL: no memory of other ranks is mapped */
    void (*close)(GpuCollectives *c);   /* frees `kind` */
    void *kind;                         /* the state of the implementation */
    char note[512];
};

NODISCARD Status gpu_check(cudaError_t error, const char *what);

/* Creates the stream and the events; the caller sets `kind` and the functions. Not collective. */
NODISCARD Status gpu_collectives_open(World *world, Watchdog *watchdog, GpuCollectives **out);
