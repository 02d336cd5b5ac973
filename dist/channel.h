/* Channel: one thread's MPI communicator, with waits that sleep and reductions in a fixed order.
 * Private to dist/. */
#pragma once

#include "core/dtype.h"
#include "core/status.h"
#include "dist/watchdog_wait.h"

#include <mpi.h>
#include <stdint.h>

typedef struct Channel {
    MPI_Comm comm; /* used by this thread only */
    int rank, size;
    WaitingThread thread;
    Watchdog *watchdog; /* may be NULL */
    const char *label;  /* the collective, for messages */
} Channel;

/* Converts the result of an MPI call to a Status; `what` names the call in the message. */
NODISCARD Status mpi_check(int result, const char *what);

/* Completes all requests: spins for 100 us, then sleeps between polls and reports the wait to the
 * watchdog. */
NODISCARD Status channel_complete(const Channel *channel, int n, MPI_Request *requests);

enum { TREE_CHUNK_BYTES = 4 << 20, CHANNEL_MOST_RANKS = 4096 };

/* data[i] = sum over ranks of data[i]; f32 or f64; bit-identical on all ranks. mpi_collectives.h
 * gives the order. `scratch` holds TREE_CHUNK_BYTES. Collective over the channel. */
NODISCARD Status channel_sum(const Channel *channel, void *data, int64_t count, DType dtype,
                             void *scratch);

/* The same sums in the same order for this rank's part only (core/collectives.h). Overwrites the
 * other parts with partial sums. Collective over the channel. */
NODISCARD Status channel_sum_parts(const Channel *channel, void *data, int64_t count, DType dtype,
                                   void *scratch);

/* All-gather: copies part r of rank r's `data` to all ranks. A part has `bytes` bytes. Collective
 * over the channel. */
NODISCARD Status channel_gather_parts(const Channel *channel, void *data, size_t bytes);
