/* The order in which training reads the windows of a token file.
 *
 * A file of n tokens has W = (n - 1) / T windows of T inputs, each with the T targets one token
 * later. Training sample g (counted over the global batch: g = step * global_batch + j, so that the
 * rank count does not matter) is window
 *
 *     perm(seed, epoch, g mod W)   of epoch   g div W
 *
 * where perm is a keyed permutation of 0 .. W-1. Every window occurs once per epoch, in a different
 * order each epoch, and nothing is stored. The (n - 1) mod T tokens that W windows leave over are
 * used too: each epoch starts its first window at a different token, origin(seed, epoch) in 0 .. (n
 * - 1) mod T.
 *
 * The permutation is a Feistel network over the next power of two with Philox as its round
 * function, applied repeatedly until the result is below W (at most twice on average). Source:
 * Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002, section 5; Philox as in
 * core/rng.h. */
#pragma once

#include "core/status.h"

#include <stdint.h>

typedef struct BatchOrder {
    uint64_t seed;
    int64_t T;
    int64_t windows;  /* W */
    int64_t leftover; /* (n - 1) mod T */
} BatchOrder;

/* batch_order_init: the order of a file of n_tokens tokens.
 *   Errors: STATUS_DATA if the file has no window: n_tokens < T + 1. Not collective. */
NODISCARD Status batch_order_init(uint64_t seed, int64_t n_tokens, int64_t T, BatchOrder *out);

/* The first token of training sample g >= 0; its targets start one token later and end at start +
 * T. Not collective. */
int64_t batch_order_start(const BatchOrder *order, int64_t sample);
int64_t batch_order_epoch(const BatchOrder *order, int64_t sample);

/* perm: the image of i in a permutation of 0 .. n-1; 0 <= i < n. */
int64_t batch_order_permute(uint64_t seed, int64_t epoch, int64_t n, int64_t i);
