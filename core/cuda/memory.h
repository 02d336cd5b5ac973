/* What a CUDA process takes of a GPU beside its tensors, in bytes: for a planning device, and to
 * tell one's own share of what is in use. Read on an H200 under CUDA 13.0:
 * docs/results/predictions.md. */
#pragma once

#include <stddef.h>

/* Once the device is open: 527 MiB of context, 4 of streams and cuBLASLt's handle. */
static const size_t CUDA_CONTEXT_BYTES = (size_t)531 << 20;

/* By the first steps: code, which loads at first use, graphs, and allocations rounded up to 2 MiB.
 * 3 to 13 MiB were seen; a plan must not be too low. */
static const size_t CUDA_COMING_BYTES = (size_t)20 << 20;

/* What cuBLAS asks for on Hopper. */
static const size_t CUDA_WORKSPACE_BYTES = (size_t)32 << 20;

/* Where several ranks have a GPU each: NCCL's communicator (386 MiB when it connects, 471 more by
 * its first sums) and the rooms of the copies between GPUs (34). Of two H200 of one host, NCCL
 * 2.28; for a plan without them, and for more ranks a guess. A run measures its own. */
static const size_t CUDA_COMMUNICATION_BYTES = (size_t)891 << 20;
