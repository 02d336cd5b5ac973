/* Collectives: the small interface through which a program reduces over ranks. dist/ implements it, by MPI on CPUs and
 * by NCCL on GPUs; core/ and nn/ know nothing else of ranks. */
#pragma once

#include "core/dtype.h"
#include "core/status.h"

#include <stdint.h>

typedef struct Collectives {
    void *self;
    int rank, size;

    /* Starts data[i] = sum over ranks of data[i], in place, and returns; collective, started in the same order on every
     * rank. On a GPU it is put behind what `stream` holds; on the CPU `stream` is NULL. `label` names it in messages.
     * The memory must stay until wait. */
    Status (*all_reduce_start)(void *self, void *data, int64_t count, DType dtype, const char *label, void *stream);

    /* Returns when every started reduction is complete; on a GPU it makes `stream` wait for them. Collective. */
    Status (*wait)(void *self, void *stream);

    /* Says what this rank is doing and that it gets on; called before every op, so it must cost nanoseconds.
     * Not collective. `activity` must outlive the call (a literal or an op's name). */
    void (*progress)(void *self, const char *activity);
} Collectives;
