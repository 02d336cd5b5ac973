/* Collectives: the small interface through which a program works with other ranks. dist/ implements
 * it, by MPI on CPUs and by NCCL on GPUs; core/ and nn/ know nothing else of ranks.
 *
 * The three that start something return at once, and are started in the same order on every rank.
 * On a GPU they are put behind what `stream` holds; on the CPU `stream` is NULL. `label` names them
 * in messages and is copied. The memory must stay until the wait. A vector of `count` elements has
 * one part a rank, count / size elements each, part r being rank r's; where it is cut, count is a
 * multiple of size. */
#pragma once

#include "core/dtype.h"
#include "core/status.h"

#include <stdint.h>

typedef struct Collectives {
    void *self;
    int rank, size;

    /* data[i] = sum over ranks of data[i], in place; f32 or f64. */
    Status (*all_reduce_start)(void *self, void *data, int64_t count, DType dtype,
                               const char *label, void *stream);

    /* The same sums, of this rank's part alone; what the other parts hold afterwards is undefined.
     * f32 or f64. */
    Status (*reduce_scatter_start)(void *self, void *data, int64_t count, DType dtype,
                                   const char *label, void *stream);

    /* Every part becomes what its rank holds there. Any dtype. */
    Status (*all_gather_start)(void *self, void *data, int64_t count, DType dtype,
                               const char *label, void *stream);

    /* Returns when at most the `left` last ones that were started are under way; on a GPU it makes
     * `stream` wait for the others. Collective. */
    Status (*wait)(void *self, int left, void *stream);

    /* Says what this rank is doing and that it gets on; called before every op, so it must cost
     * nanoseconds. Not collective. `activity` must outlive the call (a literal or an op's name). */
    void (*progress)(void *self, const char *activity);
} Collectives;
