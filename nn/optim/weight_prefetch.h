/* Weight prefetch: ranks gather the weights of a sharded optimizer when forward needs them.
 *
 * After an update a rank has the new weights of its own shards only. The weights that forward reads
 * first (the embeddings, the vectors and the first matrices) are gathered while the others are
 * updated (nn/optim/update.h). The other buckets of the first group, which hold the blocks'
 * matrices, are late: the next program gathers each one while it computes the preceding layers, and
 * waits for it before it reads the first weight. Between steps no rank holds complete late buckets:
 * gather before any other read.
 *
 * Source: Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277, section 3.3.2 (prefetching of
 * all-gathers). */
#pragma once

#include "core/collectives.h"
#include "nn/parameters.h"

/* Buckets [0, weight_prefetch_late(parameters)) are late; none without sharding. The last bucket of
 * matrices, which forward reads first, is late only if it is the only one. */
int weight_prefetch_late(const Parameters *parameters);

/* Inserts into a complete program that reads weights: all-gathers of the late buckets in the order
 * of the reads, a few ahead of the computation, and the waits for them. */
void weight_prefetch_insert(Program *p, const Parameters *parameters,
                            const Collectives *collectives);

/* Appends all-gathers of all late buckets, and a wait. */
void weight_gather_record(Program *p, const Parameters *parameters, const Collectives *collectives);

/* Starts the all-gather of one bucket. */
void weight_gather_bucket(Program *p, const Parameters *parameters, const Collectives *collectives,
                          int bucket);
