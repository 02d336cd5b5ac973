/* GPU memory of a CUDA process beside its tensors, in bytes: for a planning device, and to
 * distinguish it from other processes' memory. Measured on an H200 with CUDA 13.0:
 * docs/results/predictions.md. */
#pragma once

#include <stddef.h>

/* When the device is open: 527 MiB of context, 4 MiB of streams and cuBLASLt's handle. */
static const size_t CUDA_CONTEXT_BYTES = (size_t)531 << 20;

/* Allocated during the first steps: code, which loads at first use, graphs, and allocations rounded
 * up to 2 MiB. Measured 3 to 13 MiB; rounded up, because a plan must not underestimate. */
static const size_t CUDA_COMING_BYTES = (size_t)20 << 20;

/* cuBLAS's recommended workspace for Hopper. */
static const size_t CUDA_WORKSPACE_BYTES = (size_t)32 << 20;

/* For several ranks with one GPU each: NCCL's communicator (386 MiB when it connects, 471 more by
 * its first sums) and the staging buffers of copies between GPUs (34). Measured on two H200 of one
 * host with NCCL 2.28; an estimate for plans without these GPUs and for more ranks. A run measures
 * its own. */
static const size_t CUDA_COMMUNICATION_BYTES = (size_t)891 << 20;
