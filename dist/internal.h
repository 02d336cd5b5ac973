/* What the files of dist/ share among themselves; no other room includes it. */
#pragma once

#include "core/dtype.h"
#include "core/status.h"
#include "dist/watchdog.h"
#include "dist/world.h"

#include <mpi.h>
#include <stdbool.h>

enum { HOST_BYTES = 64 };

struct World {
    bool has_mpi;   /* false: one rank, started by hand */
    MPI_Comm comm;  /* the main thread's */
    MPI_Comm local; /* the ranks of this host */
    int rank, size, local_rank, local_size, n_hosts;
    char (*hosts)[HOST_BYTES]; /* (size) */
    char program[64];
    Watchdog *watchdog; /* NULL before watchdog_create and after watchdog_destroy */
};

/* Which of a rank's threads waits. */
typedef enum WaitingThread { WAITING_MAIN, WAITING_COMMUNICATION, WAITING_COUNT } WaitingThread;

/* Marks that a thread waits for other ranks, in what; a call with a thread that waits already
 * counts as getting on. */
void watchdog_wait_begin(Watchdog *watchdog, WaitingThread thread, const char *label);
void watchdog_wait_end(Watchdog *watchdog, WaitingThread thread);

/* A thread that waits has looked again. One that stops looking hangs, even in a wait. */
void watchdog_poll(Watchdog *watchdog, WaitingThread thread);

/* True for the first caller on this host: it may name the cause of the end. True without a
 * watchdog. */
bool watchdog_claim_report(Watchdog *watchdog);

/* Whether a rank of this host has claimed it. */
bool watchdog_is_reported(const Watchdog *watchdog);

/* Takes every rank down by MPI_Abort, and within 2 s by a signal should MPI_Abort itself hang. */
_Noreturn void world_kill(const World *world, int exit_code);

/* The failure of an MPI call as a Status that says what was being done. */
NODISCARD Status mpi_check(int result, const char *what);

/* One thread's communication: a communicator of its own, and how to wait on it. */
typedef struct Channel {
    MPI_Comm comm;
    int rank, size;
    WaitingThread thread;
    Watchdog *watchdog; /* may be NULL */
    const char *label;  /* what a wait is for */
} Channel;

/* Completes requests: a short spin, then sleeps between polls while the watchdog knows of the
 * wait. */
NODISCARD Status channel_complete(const Channel *channel, int n, MPI_Request *requests);

enum { TREE_PIECE_BYTES = 4 << 20, CHANNEL_MOST_RANKS = 4096 };

/* data[i] = sum over ranks of data[i], f32 or f64, bit-identical on all ranks (see
 * mpi_collectives.h for the order). `scratch` holds TREE_PIECE_BYTES. Collective over the
 * channel. */
NODISCARD Status channel_sum(const Channel *channel, void *data, int64_t count, DType dtype,
                             void *scratch);

/* The same sums in the same order, of this rank's part alone (core/collectives.h); the other parts
 * are spoiled. */
NODISCARD Status channel_sum_parts(const Channel *channel, void *data, int64_t count, DType dtype,
                                   void *scratch);

/* Every part of `data` becomes what its rank holds there; a part is `bytes` bytes. Collective over
 * the channel. */
NODISCARD Status channel_gather_parts(const Channel *channel, void *data, size_t bytes);
