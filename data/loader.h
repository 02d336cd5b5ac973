/* Training batches: windows of a set of tokens in the order of batch_order.h. For evaluation, see
 * data/evaluation_set.h.
 *
 * Parts with weights are mixed: each run of 65,536 training samples takes share c_j of part j, its
 * weight rounded, in an order drawn by the seed. Sample g of run k = g div 65536 is at place
 *
 *     p = perm(seed, k, g mod 65536),   of part j if C_j <= p < C_j + c_j,   C_j = c_0 + ... +
 * c_(j-1)
 *
 * and is sample k c_j + p - C_j of that part, which has its own order and epochs. So nothing is
 * stored, and each part is read without gaps. */
#pragma once

#include "core/status.h"
#include "data/batch_order.h"
#include "data/token_set.h"

typedef struct LoaderPart {
    BatchOrder order;
    int64_t start; /* its first token in the set */
    int64_t share; /* c_j */
} LoaderPart;

typedef struct Loader {
    const TokenSet *tokens; /* borrowed */
    uint64_t seed;
    int n_parts;
    LoaderPart parts[TOKEN_PARTS_MAX];
} Loader;

/* loader_init: windows of T tokens. Errors: STATUS_DATA, naming the file, if it or a part has no
 * window; STATUS_CONFIG for a weight below 1 / 65536 of all. */
NODISCARD Status loader_init(const TokenSet *tokens, uint64_t seed, int64_t T, Loader *out);

/* The first token of training sample g in the set. Not collective. */
int64_t loader_start(const Loader *loader, int64_t sample);

/* loader_fill: reads global training samples first .. first + B - 1. At step s and micro-batch m of
 * M, rank r of R with micro-batches of B passes first = ((s * M + m) * R + r) * B. The R * M * B
 * samples of a step are then the same for any R and M with the same product, and every window
 * occurs once per epoch. A batch may cross the end of an epoch. inputs, targets  out (B, T) int32;
 * targets[b, t] = inputs[b, t + 1] Errors: STATUS_DATA for a token outside the vocabulary. Not
 * collective. */
NODISCARD Status loader_fill(const Loader *loader, int64_t first, int64_t B, int32_t *inputs,
                             int32_t *targets);
