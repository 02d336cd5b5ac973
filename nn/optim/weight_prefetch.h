/* Weights of a sharded optimizer, which ranks gather when forward needs them.
 *
 * An update leaves a rank with the new weights of its own shards. What forward reads first, the
 * embeddings, the vectors and the first matrices, is gathered while the rest is updated
 * (nn/optim/update.h). The other buckets of the first group, the blocks' matrices, are late: the
 * next program gathers each while it computes the layers before, and waits for a bucket where its
 * first weight is read. So no rank holds complete late buckets between steps: gather before any
 * other read.
 *
 * Source: Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277, section 3.3.2 (prefetching of
 * all-gathers). */
#pragma once

#include "core/collectives.h"
#include "nn/parameters.h"

/* Buckets [0, weight_prefetch_late(parameters)) are late: none where the optimizer is not sharded.
 * The last bucket of matrices, which forward reads first, is not among them unless it is the only
 * one. */
int weight_prefetch_late(const Parameters *parameters);

/* Into a program that is complete otherwise and reads weights: all-gathers of the late buckets, in
 * the order in which it reads them, a few ahead of the computation, and the waits for them. */
void weight_prefetch_insert(Program *p, const Parameters *parameters,
                            const Collectives *collectives);

/* Appends all-gathers of all late buckets, and a wait. */
void weight_gather_record(Program *p, const Parameters *parameters, const Collectives *collectives);

/* Starts the all-gather of one bucket. */
void weight_gather_bucket(Program *p, const Parameters *parameters, const Collectives *collectives,
                          int bucket);
