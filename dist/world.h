/* World: the ranks of one run. Under mpirun or srun it is MPI's world. Without a launcher it is one
 * rank and makes no MPI calls, so that `./train` needs neither a daemon nor a network.
 *
 * A waiting rank spins briefly and then sleeps between polls. This leaves the cores to the ranks
 * that compute, even with more ranks than cores.
 *
 * "Collective" means: every rank calls it, in the same order. Only the main thread may call these
 * functions, except world_abort. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"
#include "dist/types.h"

#include <stddef.h>
#include <stdint.h>

/* Starts MPI with MPI_THREAD_MULTIPLE, because the communication and watchdog threads call MPI
 * beside the main thread, and finds ranks and hosts. Collective. Errors: STATUS_FAILURE. */
NODISCARD Status world_create(int *argc, char ***argv, World **out);

/* Ends MPI. Destroy the watchdog and the collectives of this world first. Collective. */
void world_destroy(World **world);

/* Not collective. The local rank counts the ranks of this host from 0 and selects the GPU. */
int world_rank(const World *world);
int world_size(const World *world);
int world_local_rank(const World *world);
int world_local_size(const World *world);

/* The host name of a rank, and the name of the program (argv[0] without its directory). Not
 * collective. */
const char *world_host(const World *world, int rank);
const char *world_program(const World *world);

/* The first rank on another host than rank 0's; -1: there is one host. Not collective. */
int world_second_host(const World *world);

/* The time that the launcher leaves between SIGTERM and SIGKILL; infinite without a launcher. Not
 * collective. */
double world_kill_seconds(const World *world);

/* Returns when every rank has called it. Collective. */
NODISCARD Status world_barrier(World *world);

/* Copies `bytes` bytes from rank 0 to every rank; `bytes` is the same on all ranks. Collective. */
NODISCARD Status world_broadcast(World *world, void *data, size_t bytes);

/* Copies rank 0's text to every rank, into the arena. Only rank 0 reads `text`. Collective. */
NODISCARD Status world_broadcast_text(World *world, const char *text, Arena *arena, char **out);

/* *value = the minimum, or the maximum, over ranks. Collective. */
NODISCARD Status world_min_i64(World *world, int64_t *value);
NODISCARD Status world_max_i64(World *world, int64_t *value);

/* values[i] = sum over ranks, added as the binary tree of mpi_collectives.h. Collective. */
NODISCARD Status world_sum_f64(World *world, double *values, int64_t count);

/* On rank 0, all[r] = `mine` of rank r; `bytes` bytes each, the same on all ranks. Collective. */
NODISCARD Status world_gather(World *world, const void *mine, size_t bytes, void *all);

/* Copies `bytes` bytes from rank 0 to rank `receiver`, which is not 0; does nothing on other ranks.
 * Collective. */
NODISCARD Status world_send(World *world, void *data, size_t bytes, int receiver);

/* On rank 0, (*out)[r] = the text of rank r, in the arena; *out = NULL on other ranks.
 * Collective. */
NODISCARD Status world_gather_text(World *world, const char *text, Arena *arena, char ***out);

/* Tells every rank whether any rank failed. All return OK, or the code and message of the lowest
 * failing rank, prefixed with "rank N: " if there is more than one rank. A rank that failed must
 * call this too and must not leave before it. A failure that ranks have already agreed on is
 * returned unchanged. Collective. */
NODISCARD Status world_agree(World *world, Status mine);

/* For a status that all ranks share (from world_agree): rank 0 prints it once, unless a rank of its
 * host has already reported a cause. All ranks return its exit code. Not collective. */
int world_report(const World *world, Status status);

/* For a failure that only this rank knows: prints `PROGRAM: error: rank N on HOST: MESSAGE; all
 * ranks end (exit C)` and ends every rank with that exit code. Prints nothing if another rank of
 * this host has already reported a cause. Not collective; any thread. */
_Noreturn void world_abort(World *world, Status status);
