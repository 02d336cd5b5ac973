/* Batches of training: windows of a token file in the order of batch_order.h. Evaluation has
 * data/evaluation_set.h. */
#pragma once

#include "core/status.h"
#include "data/batch_order.h"
#include "data/token_file.h"

typedef struct Loader {
    const TokenFile *file; /* borrowed */
    BatchOrder order;
} Loader;

/* loader_init: windows of T tokens of a file. Errors: STATUS_DATA where not even one fits, naming
 * the file. */
NODISCARD Status loader_init(const TokenFile *file, uint64_t seed, int64_t T, Loader *out);

/* loader_fill: global training samples first .. first + B - 1. A rank r of R with micro-batches of
 * B takes, at step s and micro-batch m of M, first = ((s * M + m) * R + r) * B; then a step's R * M
 * * B samples are the same for any R and M with the same product, and every window comes once an
 * epoch. A batch may go over the end of an epoch. inputs, targets  out (B, T) int32; targets[b, t]
 * = inputs[b, t + 1] Errors: STATUS_DATA for a token outside the vocabulary. Not collective. */
NODISCARD Status loader_fill(const Loader *loader, int64_t first, int64_t B, int32_t *inputs,
                             int32_t *targets);
