/* World: the ranks of one run. Started by mpirun (or srun) it is MPI's world; started by hand it is
 * one rank, and MPI is not touched at all, so that `./train` needs neither a daemon nor a network.
 *
 * Waiting is polite: after a short spin a waiting rank sleeps between polls, so that the cores stay
 * with the ranks that compute, even where ranks outnumber cores.
 *
 * "Collective" means: every rank calls it, in the same order. All calls but world_abort belong to
 * the main thread. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct World World;

/* Starts MPI with MPI_THREAD_MULTIPLE (the communication and the watchdog thread call it beside the
 * main thread) and learns ranks and hosts. Collective. Errors: STATUS_FAILURE. */
NODISCARD Status world_create(int *argc, char ***argv, World **out);

/* Ends MPI. Collective; the watchdog and the collectives made from this world are destroyed
 * before. */
void world_destroy(World **world);

/* Not collective. The local rank counts the ranks of this host from 0: it chooses the GPU. */
int world_rank(const World *world);
int world_size(const World *world);
int world_local_rank(const World *world);
int world_local_size(const World *world);

/* The name of the host on which a rank runs, and of the program (argv[0] without its folder). Not
 * collective. */
const char *world_host(const World *world, int rank);
const char *world_program(const World *world);

/* How long a launcher waits between SIGTERM and SIGKILL when it ends its ranks; infinite without
 * one. Not collective. */
double world_kill_seconds(const World *world);

/* Returns when every rank has come. Collective. */
NODISCARD Status world_barrier(World *world);

/* Copies `bytes` bytes of rank 0 to every rank; `bytes` is the same everywhere. Collective. */
NODISCARD Status world_broadcast(World *world, void *data, size_t bytes);

/* Copies rank 0's text to every rank, into the arena. `text` is read on rank 0 only. Collective. */
NODISCARD Status world_broadcast_text(World *world, const char *text, Arena *arena, char **out);

/* *value = the least, the greatest over ranks. Collective. */
NODISCARD Status world_min_i64(World *world, int64_t *value);
NODISCARD Status world_max_i64(World *world, int64_t *value);

/* values[i] = sum over ranks, added as a binary tree over ranks, as in mpi_collectives.h.
 * Collective. */
NODISCARD Status world_sum_f64(World *world, double *values, int64_t count);

/* On rank 0 all[r] = `mine` of rank r, `bytes` bytes each, the same everywhere. Collective. */
NODISCARD Status world_gather(World *world, const void *mine, size_t bytes, void *all);

/* On rank 0 (*out)[r] = the text of rank r, in the arena; NULL on the other ranks. Collective. */
NODISCARD Status world_gather_text(World *world, const char *text, Arena *arena, char ***out);

/* Tells every rank whether any rank failed: all get OK, or the code and message of the lowest
 * failing rank, with "rank N: " in front where there is more than one rank. Collective: a rank that
 * failed must come here, and does not leave before. A failure that has been agreed on before is
 * passed on as it is. */
NODISCARD Status world_agree(World *world, Status mine);

/* For a status that all ranks share (from world_agree): rank 0 prints it once, unless a rank of its
 * host has said a cause before; all get its exit code. Not collective. */
int world_report(const World *world, Status status);

/* For a failure that this rank alone knows of: prints `PROGRAM: error: rank N on HOST: MESSAGE; all
 * ranks end (exit C)` and takes every rank down with the exit code. Prints nothing where another
 * rank of this host has said its cause before. Not collective, any thread. */
_Noreturn void world_abort(World *world, Status status);
