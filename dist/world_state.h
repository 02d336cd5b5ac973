/* The fields of World. Private to dist/. */
#pragma once

#include "dist/types.h"

#include <mpi.h>
#include <stdbool.h>

enum { HOST_BYTES = 64 };

struct World {
    bool has_mpi;   /* false: one rank, started without a launcher */
    MPI_Comm comm;  /* all ranks; main thread only */
    MPI_Comm local; /* the ranks of this host */
    int rank, size, local_rank, local_size, n_hosts;
    char (*hosts)[HOST_BYTES]; /* (size) */
    char program[64];
    Watchdog *watchdog; /* NULL before watchdog_create and after watchdog_destroy */
};

/* Ends all ranks with MPI_Abort. If MPI_Abort hangs, SIGALRM ends this process after 2 s, and the
 * launcher then ends the others. Any thread. */
_Noreturn void world_kill(const World *world, int exit_code);
