/* Training batches: windows of a token file in the order of batch_order.h. For evaluation, see
 * data/evaluation_set.h. */
#pragma once

#include "core/status.h"
#include "data/batch_order.h"
#include "data/token_file.h"

typedef struct Loader {
    const TokenFile *file; /* borrowed */
    BatchOrder order;
} Loader;

/* loader_init: windows of T tokens of a file. Errors: STATUS_DATA, naming the file, if it has no
 * window. */
NODISCARD Status loader_init(const TokenFile *file, uint64_t seed, int64_t T, Loader *out);

/* loader_fill: reads global training samples first .. first + B - 1. At step s and micro-batch m of
 * M, rank r of R with micro-batches of B passes first = ((s * M + m) * R + r) * B. The R * M * B
 * samples of a step are then the same for any R and M with the same product, and every window
 * occurs once per epoch. A batch may cross the end of an epoch. inputs, targets  out (B, T) int32;
 * targets[b, t] = inputs[b, t + 1] Errors: STATUS_DATA for a token outside the vocabulary. Not
 * collective. */
NODISCARD Status loader_fill(const Loader *loader, int64_t first, int64_t B, int32_t *inputs,
                             int32_t *targets);
