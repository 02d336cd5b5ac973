#include "data/batch_order.h"
#include "data/loader.h"
#include "tests/data/data_helper.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether perm takes every value of 0 .. n-1 once. */
static bool is_permutation(uint64_t seed, int64_t epoch, int64_t n) {
    uint8_t *seen = calloc((size_t)n, 1);
    int64_t distinct = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t to = batch_order_permute(seed, epoch, n, i);
        if (to >= 0 && to < n && !seen[to]++) distinct++;
    }
    free(seen);
    return distinct == n;
}

static void every_value_comes_once(void) {
    for (int64_t n = 1; n <= 130; n++) CHECK(is_permutation(1337, n, n));
    const int64_t sizes[] = {255, 256, 257, 1000, 4096, 10007, 65537};
    for (size_t i = 0; i < COUNT(sizes); i++) CHECK(is_permutation(i, 3, sizes[i]));
}

static void large_domains_work(void) {
    const int64_t n = INT64_C(1) << 40;
    CHECK(batch_order_permute(1, 0, n + 1, n) <= n);
    CHECK(batch_order_permute(1, 0, n, 0) != batch_order_permute(1, 0, n, 1));
}

/* The number of values of n that both permutations map to the same place: about 1 for random
 * ones. */
static int fixed_between(uint64_t seed_a, int64_t epoch_a, uint64_t seed_b, int64_t epoch_b,
                         int64_t n) {
    int same = 0;
    for (int64_t i = 0; i < n; i++) {
        same += batch_order_permute(seed_a, epoch_a, n, i) ==
                batch_order_permute(seed_b, epoch_b, n, i);
    }
    return same;
}

static void seeds_and_epochs_differ(void) {
    CHECK(fixed_between(1, 0, 1, 1, 1000) < 10);
    CHECK(fixed_between(1, 0, 2, 0, 1000) < 10);
    CHECK(fixed_between(1, 5, 1, 5, 1000) == 1000);
}

/* Chi-squared of the image of value 0 of 16 over 16,000 epochs: 15 degrees of freedom; 50 has a
 * probability below 10^-5. */
static void places_are_uniform(void) {
    int count[16] = {0};
    double chi = 0;
    for (int64_t epoch = 0; epoch < 16000; epoch++) count[batch_order_permute(9, epoch, 16, 0)]++;
    for (int i = 0; i < 16; i++) chi += (count[i] - 1000.0) * (count[i] - 1000.0) / 1000.0;
    CHECK(chi < 50);
}

/* Neighbors must not stay neighbors. */
static void order_is_not_nearly_sequential(void) {
    int near = 0;
    for (int64_t i = 0; i + 1 < 10000; i++) {
        int64_t step =
            batch_order_permute(4, 0, 10000, i + 1) - batch_order_permute(4, 0, 10000, i);
        near += step >= -10 && step <= 10;
    }
    CHECK(near < 50);
}

static void windows_of_an_epoch_cover_the_file(void) {
    enum { N = 1000, T = 7 };
    BatchOrder order;
    REQUIRE_OK(batch_order_init(3, N, T, &order));
    CHECK(order.windows == 142 && order.leftover == 5);
    for (int64_t epoch = 0; epoch < 20; epoch++) {
        uint8_t seen[N] = {0};
        int64_t first = N, covered = 0;
        for (int64_t i = 0; i < order.windows; i++) {
            int64_t start = batch_order_start(&order, epoch * order.windows + i);
            CHECK(start >= 0 && start + T < N);
            first = start < first ? start : first;
            for (int t = 0; t < T; t++) covered += !seen[start + t]++;
        }
        CHECK(covered == order.windows * T);
        CHECK(first <= order.leftover);
        CHECK(batch_order_epoch(&order, epoch * order.windows) == epoch);
    }
}

static void origins_of_epochs_differ(void) {
    BatchOrder order;
    int64_t first[2] = {1 << 20, 1 << 20};
    REQUIRE_OK(batch_order_init(3, 100000, 1000, &order));
    for (int64_t i = 0; i < 2 * order.windows; i++) {
        int64_t start = batch_order_start(&order, i), epoch = i / order.windows;
        first[epoch] = start < first[epoch] ? start : first[epoch];
    }
    CHECK(first[0] != first[1]);
}

static void too_few_tokens_are_refused(void) {
    BatchOrder order;
    CHECK_ERROR(batch_order_init(1, 8, 8, &order), STATUS_DATA,
                "8 tokens are too few for one window of 8");
    CHECK_ERROR(batch_order_init(1, 0, 8, &order), STATUS_DATA, "too few");
    CHECK_ERROR(batch_order_init(1, 8, 0, &order), STATUS_DATA, "too few");
    CHECK_OK(batch_order_init(1, 9, 8, &order));
    CHECK(order.windows == 1 && batch_order_start(&order, 12345) == 0);
}

/* ---- the loader ------------------------------------------------------------------------------ */

enum { TOKENS = 1000, WIDTH = 8 };

/* Token i of the file is i. */
static TokenSet *counting_file(void) {
    uint16_t tokens[TOKENS];
    TokenSet *file = NULL;
    for (int i = 0; i < TOKENS; i++) tokens[i] = (uint16_t)i;
    const char *path = path_in(harness_directory(), "tokens.bin");
    file_write(path, tokens, sizeof tokens);
    CHECK_OK(token_set_open_path(path, &file));
    return file;
}

static void targets_are_one_token_later(void) {
    TokenSet *file = counting_file();
    Loader loader;
    int32_t inputs[5 * WIDTH], targets[5 * WIDTH];
    REQUIRE_OK(loader_init(file, 42, WIDTH, &loader));
    CHECK_OK(loader_fill(&loader, 100, 5, inputs,
                         targets)); /* 124 windows: the batch is within one epoch */
    for (int b = 0; b < 5; b++) {
        CHECK(inputs[b * WIDTH] == batch_order_start(&loader.parts[0].order, 100 + b));
        for (int t = 0; t < WIDTH; t++) {
            CHECK(inputs[b * WIDTH + t] == inputs[b * WIDTH] + t);
            CHECK(targets[b * WIDTH + t] == inputs[b * WIDTH + t] + 1);
        }
    }
    token_set_destroy(&file);
}

/* The samples of 30 steps of global batch 12 on R ranks: the same sets, and each window once per
 * epoch. */
static void the_rank_count_does_not_change_the_data(void) {
    TokenSet *file = counting_file();
    Loader loader;
    int32_t inputs[12 * WIDTH], targets[12 * WIDTH], reference[12 * WIDTH];
    REQUIRE_OK(loader_init(file, 42, WIDTH, &loader));
    for (int64_t step = 0; step < 30; step++) {
        CHECK_OK(loader_fill(&loader, step * 12, 12, reference, targets));
        for (int64_t ranks = 2; ranks <= 12; ranks++) {
            if (12 % ranks != 0) continue;
            int64_t B = 12 / ranks;
            for (int64_t r = 0; r < ranks; r++) {
                CHECK_OK(
                    loader_fill(&loader, step * 12 + r * B, B, inputs + r * B * WIDTH, targets));
            }
            CHECK(memcmp(inputs, reference, sizeof reference) == 0);
        }
    }
    token_set_destroy(&file);
}

static void a_batch_larger_than_the_file_goes_into_the_next_epoch(void) {
    TokenSet *file = counting_file();
    Loader loader;
    int32_t inputs[4 * 400], targets[4 * 400];
    REQUIRE_OK(loader_init(file, 1, 400, &loader));
    CHECK(loader.parts[0].order.windows == 2);
    CHECK_OK(loader_fill(&loader, 0, 4, inputs, targets));
    for (int epoch = 0; epoch < 2; epoch++) {
        int apart = inputs[(2 * epoch + 1) * 400] - inputs[2 * epoch * 400];
        CHECK(apart == 400 || apart == -400);
    }
    CHECK_ERROR(loader_init(file, 1, TOKENS, &loader), STATUS_DATA,
                "tokens.bin: 1000 tokens are too few");
    token_set_destroy(&file);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(every_value_comes_once),
        TEST(large_domains_work),
        TEST(seeds_and_epochs_differ),
        TEST(places_are_uniform),
        TEST(order_is_not_nearly_sequential),
        TEST(windows_of_an_epoch_cover_the_file),
        TEST(origins_of_epochs_differ),
        TEST(too_few_tokens_are_refused),
        TEST(targets_are_one_token_later),
        TEST(the_rank_count_does_not_change_the_data),
        TEST(a_batch_larger_than_the_file_goes_into_the_next_epoch),
    };
    return harness_run(argc, argv, "batch_order", tests, COUNT(tests));
}
