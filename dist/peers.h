/* Collectives by copies between the GPUs of one host, which leave the multiprocessors to the model:
 * every rank maps the others' memory (CUDA IPC), the copy engines move the data over NVLink, and
 * flags in each GPU's memory say what has come. A rank pulls its part of a sum from all others and
 * adds, and pushes its part of a gather to all others.
 *
 * Why nothing is overwritten too early: a collective begins with a meeting, each rank telling the
 * others that its stream has come so far. So a push goes to memory that its owner has made ready,
 * and what a rank has pushed or others have pulled is changed only behind a later collective of its
 * stream, which they have come to after their copies: a pull of gradients is followed, in the same
 * step, by the push of their sums or by NCCL's sum of the norm, and that of tables by the push of
 * their rows (nn/optim/embedding_gradients.h) before these are added. For the same reason no flag
 * is set a second time before it has been cleared, though few of them take turns.
 *
 * Source: NVIDIA, CUDA C++ Programming Guide, "Interprocess Communication"; Rabenseifner 2004 for
 * the two halves. */
#pragma once

#include "dist/gpu_internal.h"

typedef struct Peers Peers;

/* *out is NULL on all ranks where copies cannot serve on one of them: several hosts, more than 8
 * ranks, NCCL_P2P_DISABLE set; or GPUs that do not reach each other and memory that may not be
 * shared, which c->note then says. Collective. */
NODISCARD Status peers_create(GpuCollectives *c, Peers **out);

/* Whether they take it: small ones and ragged ones are NCCL's. The same answer on every rank; false
 * for NULL. */
bool peers_take(const Peers *peers, int64_t count, DType dtype);

/* Enqueue on the collectives' stream; see core/collectives.h. Collective at the first replay of a
 * program. */
NODISCARD Status peers_all_reduce(Peers *peers, void *data, int64_t count, DType dtype,
                                  const char *label);
NODISCARD Status peers_reduce_scatter(Peers *peers, void *data, int64_t count, DType dtype,
                                      const char *label);
NODISCARD Status peers_all_gather(Peers *peers, void *data, int64_t count, DType dtype,
                                  const char *label);

/* Unmaps the memory that collectives were called with, and ends when all ranks have: they may free
 * it then. NULL-safe. Collective. */
void peers_release(Peers *peers);

/* NULL-safe. Collective. */
void peers_destroy(Peers **peers);
