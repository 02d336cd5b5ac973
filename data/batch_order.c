#include "data/batch_order.h"

#include "core/rng.h"

/* Four rounds give a pseudo-random permutation of large domains (Luby and Rackoff, 1988); small
 * domains need more rounds. */
enum { ROUNDS = 8, ORIGIN = 255 };

/* A random word that depends on the value, the round and the epoch. */
static uint64_t round_word(uint64_t seed, int64_t epoch, int round, uint64_t value) {
    Philox random = philox(seed, value, (uint64_t)epoch << 8 | (uint64_t)round);
    return (uint64_t)random.word[1] << 32 | random.word[0];
}

static int bits_of(uint64_t value) { return value == 0 ? 0 : 64 - __builtin_clzll(value); }

int64_t batch_order_permute(uint64_t seed, int64_t epoch, int64_t n, int64_t i) {
    int bits = bits_of((uint64_t)n - 1), low_bits = (bits + 1) / 2;
    uint64_t low_mask = (UINT64_C(1) << low_bits) - 1,
             high_mask = (UINT64_C(1) << (bits - low_bits)) - 1;
    uint64_t value = (uint64_t)i;
    do {
        uint64_t low = value & low_mask, high = value >> low_bits;
        for (int round = 0; round < ROUNDS; round += 2) {
            low ^= round_word(seed, epoch, round, high) & low_mask;
            high ^= round_word(seed, epoch, round + 1, low) & high_mask;
        }
        value = high << low_bits | low;
    } while (value >= (uint64_t)n);
    return (int64_t)value;
}

Status batch_order_init(uint64_t seed, int64_t n_tokens, int64_t T, BatchOrder *out) {
    if (T < 1 || n_tokens - 1 < T) {
        return ERROR(STATUS_DATA,
                     "%lld tokens are too few for one window of %lld tokens and its last target",
                     (long long)n_tokens, (long long)T);
    }
    *out = (BatchOrder){
        .seed = seed, .T = T, .windows = (n_tokens - 1) / T, .leftover = (n_tokens - 1) % T};
    return OK;
}

int64_t batch_order_epoch(const BatchOrder *order, int64_t sample) {
    return sample / order->windows;
}

int64_t batch_order_start(const BatchOrder *order, int64_t sample) {
    int64_t epoch = sample / order->windows;
    int64_t window =
        batch_order_permute(order->seed, epoch, order->windows, sample % order->windows);
    uint64_t origin = round_word(order->seed, epoch, ORIGIN, 0) % ((uint64_t)order->leftover + 1);
    return (int64_t)origin + window * order->T;
}
