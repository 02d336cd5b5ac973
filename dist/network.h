/* Network: the links between the ranks of a run, and the expected cost of a collective over them.
 *
 * S bytes, N ranks on M hosts, R = N / M. B is the bandwidth of a host's network in each direction,
 * which its ranks share; b is the bandwidth between ranks of one host.
 *
 *   copies (dist/peers.h), up to 8 GPUs of one host, from 2 MiB on: 38 us + 2 S (N - 1) / N / b for
 *   an all-reduce, half of it for a reduce-scatter or an all-gather; b = 358 GB/s.
 *   NCCL, a ring: 2 (N - 1) steps, 2 (M - 1) of them between hosts, and 2 S (N - 1) / N over
 *   min(b, B) for an all-reduce, half of it for the others; b = 324 GB/s.
 *   NCCL, two trees (all-reduce only): 2 (R - 1 + log2 M) steps, and 2 S over 0.92 min(b, B).
 *   NCCL takes the fastest of these, with one of two protocols: LL for few bytes, or Simple.
 *   CPUs: the messages of dist/channel.c and dist/channel_parts.c, each a latency and its bytes, in
 *   turns with a rank of another host that has waited.
 *
 * On GPUs the reads and writes of copies, sums and pushes slow the model: (4 (N - 1) + N + 1) / N S
 * for an all-reduce. Multiprocessors that NCCL occupies are ignored, and so is the core that a
 * CPU's communication thread uses.
 *
 * Sources: docs/results/cuda_ranks.md for b and the copies; NCCL 2.28, the cost model of its tuner,
 * for formulas and latencies; docs/results/many_ranks.md for CPUs. Not collective. */
#pragma once

#include "core/perf/timeline.h"

typedef struct Network {
    DeviceKind device;
    int64_t ranks, hosts; /* hosts divides ranks; 0 hosts: unknown */
    double bytes_per_s;   /* B; ignored for one host */
} Network;

/* A CollectiveModel's function, whose `self` is a Network; no cost for one rank. */
CollectiveCost network_cost(const void *network, CollectiveKind kind, size_t bytes);
