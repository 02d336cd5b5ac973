/* Collectives: the interface between a program and the other ranks. dist/ implements it, with MPI
 * on CPUs and NCCL on GPUs; core/ and nn/ know nothing else about ranks.
 *
 * The first three functions start a collective and return immediately. All ranks start them in the
 * same order. On a GPU they are enqueued on `stream`; on the CPU `stream` is NULL. `label` names a
 * collective in messages and is copied. The memory must stay valid until the wait. A vector of
 * `count` elements consists of one part per rank, count / size elements each; part r belongs to
 * rank r. Where a vector is divided into parts, count is a multiple of size. */
#pragma once

#include "core/dtype.h"
#include "core/status.h"

#include <stdint.h>

typedef enum CollectiveKind {
    COLLECTIVE_ALL_REDUCE,
    COLLECTIVE_REDUCE_SCATTER,
    COLLECTIVE_ALL_GATHER
} CollectiveKind;

typedef struct Collectives {
    void *self;
    int rank, size;

    /* all-reduce: data[i] = sum over ranks of data[i], in place; f32 or f64. */
    Status (*all_reduce_start)(void *self, void *data, int64_t count, DType dtype,
                               const char *label, void *stream);

    /* reduce-scatter: the same sums, only in this rank's part. The other parts are undefined
     * afterwards. f32 or f64. */
    Status (*reduce_scatter_start)(void *self, void *data, int64_t count, DType dtype,
                                   const char *label, void *stream);

    /* all-gather: copies each part from its rank to all others. Any dtype. */
    Status (*all_gather_start)(void *self, void *data, int64_t count, DType dtype,
                               const char *label, void *stream);

    /* Returns when at most the last `left` started collectives are pending. On a GPU, makes
     * `stream` wait for the others. Collective. */
    Status (*wait)(void *self, int left, void *stream);

    /* Reports the activity and the progress of this rank. Called before every op, so it must cost
     * nanoseconds. Not collective. `activity` must outlive the call (a literal or the name of an
     * op). */
    void (*progress)(void *self, const char *activity);
} Collectives;
