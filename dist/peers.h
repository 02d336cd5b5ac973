/* Collectives as copies between the GPUs of one host, which leave the multiprocessors to the model.
 * Every rank maps the memory of the others (CUDA IPC), the copy engines move the data over NVLink,
 * and flags in the memory of each GPU signal arrival. In a reduce-scatter, a rank pulls its part
 * from all others and adds. In an all-gather, it pushes its part to all others.
 *
 * Why no data is overwritten too early: a collective begins with a meeting, in which each rank
 * signals to the others that its stream has reached this point. So a push writes only to memory
 * that its owner has made ready. Data that a rank has pushed, or that others have pulled, changes
 * only after a later collective of its stream, which the others reach after their copies. In the
 * same step, a pull of gradients is followed by the push of their sums or by NCCL's sum of the
 * norm; a pull of embedding gradients is followed by the push of their rows
 * (nn/optim/embedding_gradients.h) before these are added. For the same reason a flag is cleared
 * before it is set again, although only a few flags alternate.
 *
 * Source: NVIDIA, CUDA C++ Programming Guide, "Interprocess Communication"; Rabenseifner 2004 for
 * the reduce-scatter and the all-gather. */
#pragma once

#include "dist/gpu_internal.h"

typedef struct Peers Peers;

/* *out = NULL on all ranks if copies are not possible on one of them: several hosts, more than 8
 * ranks, or NCCL_P2P_DISABLE set; also, with a reason in c->note, if GPUs cannot access each other
 * or memory cannot be shared. Collective. */
NODISCARD Status peers_create(GpuCollectives *c, Peers **out);

/* Whether copies serve this collective; NCCL serves small ones and those whose parts are not
 * multiples of 16 bytes. The same result on every rank; false for NULL. */
bool peers_take(const Peers *peers, int64_t count, DType dtype);

/* Enqueue on the collectives' stream; see core/collectives.h. Collective at the first replay of a
 * program. */
NODISCARD Status peers_all_reduce(Peers *peers, void *data, int64_t count, DType dtype,
                                  const char *label);
NODISCARD Status peers_reduce_scatter(Peers *peers, void *data, int64_t count, DType dtype,
                                      const char *label);
NODISCARD Status peers_all_gather(Peers *peers, void *data, int64_t count, DType dtype,
                                  const char *label);

/* Unmaps the memory that collectives have used. Returns after all ranks have done so; they may then
 * free the memory. NULL-safe. Collective. */
void peers_release(Peers *peers);

/* NULL-safe. Collective. */
void peers_destroy(Peers **peers);
