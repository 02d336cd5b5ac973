/* The expected cost of a collective, beside measured times and by hand. */
#include "dist/network.h"
#include "tests/harness.h"

static double seconds(Network network, CollectiveKind kind, double bytes) {
    return network_cost(&network, kind, (size_t)bytes).seconds;
}

static const Network pair = {.device = DEVICE_CUDA, .ranks = 2, .hosts = 1};

/* docs/results/cuda_ranks.md, "Sums alone", in microseconds. */
static void two_gpus_as_measured(void) {
    const double mi = 1 << 20;
    const struct {
        double bytes, measured, tolerance;
    } sums[] = {{1 << 10, 6.4, 0.35}, {1 * mi, 13.9, 0.35},  {16 * mi, 88.4, 0.05},
                {64 * mi, 225, 0.05}, {256 * mi, 788, 0.02}, {512 * mi, 1535, 0.02}};
    for (size_t i = 0; i < COUNT(sums); i++) {
        double predicted = 1e6 * seconds(pair, COLLECTIVE_ALL_REDUCE, sums[i].bytes);
        CHECK_CLOSE(predicted / sums[i].measured, 1, sums[i].tolerance);
    }
}

static void one_rank_costs_nothing(void) {
    for (int kind = COLLECTIVE_ALL_REDUCE; kind <= COLLECTIVE_ALL_GATHER; kind++) {
        Network one = {.device = DEVICE_CUDA, .ranks = 1, .hosts = 1};
        CollectiveCost cost = network_cost(&one, (CollectiveKind)kind, 1 << 20);
        CHECK(cost.seconds == 0 && cost.bytes == 0);
    }
}

/* Of a large sum over few hosts, all but the bandwidth is negligible. */
static void the_slower_link_decides(void) {
    const double bytes = 4e9, share = 15.0 / 16;
    Network slow = {.device = DEVICE_CUDA, .ranks = 16, .hosts = 2, .bytes_per_s = 50e9},
            fast = slow;
    fast.bytes_per_s = 1e15;
    CHECK_CLOSE(seconds(slow, COLLECTIVE_ALL_REDUCE, bytes), 2 * share * bytes / 50e9, 1e-3);
    CHECK_CLOSE(seconds(slow, COLLECTIVE_ALL_GATHER, bytes), share * bytes / 50e9, 1e-3);
    CHECK_CLOSE(seconds(fast, COLLECTIVE_ALL_REDUCE, bytes), 2 * share * bytes / 324e9, 1e-3);
}

/* The latency of a ring grows with the ranks, that of trees with the logarithm of the hosts. */
static void many_ranks_sum_in_trees(void) {
    Network n = {.device = DEVICE_CUDA, .ranks = 4096, .hosts = 512, .bytes_per_s = 400e9};
    double ring = seconds(n, COLLECTIVE_REDUCE_SCATTER, 1 << 20),
           tree = seconds(n, COLLECTIVE_ALL_REDUCE, 1 << 20);
    CHECK(ring > 3e-3 && tree < 1e-3);
    n.ranks *= 2, n.hosts *= 2;
    CHECK(seconds(n, COLLECTIVE_REDUCE_SCATTER, 1 << 20) > 1.9 * ring);
    CHECK(seconds(n, COLLECTIVE_ALL_REDUCE, 1 << 20) < 1.1 * tree);
}

static void memory_traffic_by_hand(void) {
    /* Two ranks, 8 bytes: 4 read by the other rank, 4 received, 4 + 4 read and 4 written by the
     * sum; then 4 read and 4 received. */
    CHECK(network_cost(&pair, COLLECTIVE_REDUCE_SCATTER, 8).bytes == 20);
    CHECK(network_cost(&pair, COLLECTIVE_ALL_GATHER, 8).bytes == 8);
    CHECK(network_cost(&pair, COLLECTIVE_ALL_REDUCE, 8).bytes == 28);
}

/* Over a slow network only the bytes count: those of recursive halving and of the all-gather. */
static void cpus_over_a_slow_network(void) {
    const double rate = 1.25e6, mib = (1 << 20) / (0.93 * rate);
    Network two = {.device = DEVICE_CPU, .ranks = 2, .hosts = 2, .bytes_per_s = rate}, four = two,
            grouped = two;
    const double bytes = 8 << 20;
    four.ranks = four.hosts = 4;
    grouped.ranks = 4;
    CHECK_CLOSE(seconds(two, COLLECTIVE_ALL_REDUCE, bytes) / mib, 8, 0.01);
    CHECK_CLOSE(seconds(two, COLLECTIVE_REDUCE_SCATTER, bytes) / mib, 4, 0.01);
    CHECK_CLOSE(seconds(two, COLLECTIVE_ALL_GATHER, bytes) / mib, 4, 0.01);
    /* 4 + 2 MiB to other hosts, and back. */
    CHECK_CLOSE(seconds(four, COLLECTIVE_ALL_REDUCE, bytes) / mib, 12, 0.01);
    CHECK_CLOSE(seconds(four, COLLECTIVE_ALL_GATHER, bytes) / mib, 6, 0.01);
    /* The larger exchange stays on the host; two ranks share the cable for the other. */
    CHECK_CLOSE(seconds(grouped, COLLECTIVE_ALL_REDUCE, bytes) / mib, 8, 0.01);
    /* After the exchange on the host both ranks exchange with both of the other host. */
    CHECK_CLOSE(seconds(grouped, COLLECTIVE_ALL_GATHER, bytes) / mib, 8, 0.01);
    CHECK(network_cost(&two, COLLECTIVE_ALL_REDUCE, 1 << 20).bytes == 0);
}

/* In chunks of 4 MiB. Each rank beyond the power of two first sends everything to one of the first.
 * An exchange with a rank that has waited takes turns: docs/results/many_ranks.md. */
static void cpus_that_are_no_power_of_two(void) {
    const struct {
        int64_t ranks, hosts;
        double sum, scatter; /* chunks */
    } cases[] = {
        {3, 3, 1 + 1 + 0.5 + 1, 1 + 2.0 / 3 + 1.0 / 3}, /* sent, halved in turns, back, sent back */
        {5, 5, 1 + 1 + 0.5 + 0.75 + 1, 1 + 3.0 / 5 + 2.0 / 5 + 1.0 / 5},
        {6, 6, 1 + 0.5 + 0.5 + 0.75 + 1, 1 + 3.0 / 6 + 2.0 / 6 + 1.0 / 6},
        {7, 7, 1 + 1 + 0.5 + 0.75 + 1, 1 + 4.0 / 7 + 3.0 / 7 + 1.0 / 7},
        /* Two share a cable for all but the halving at distance 2, which takes turns. */
        {6, 3, 2 + 1 + 0.5 + 2, 2 + 2 * 2.0 / 6 + 2 * 1.0 / 6},
        /* Of each host, one rank exchanges with the other host at distances 1 and 2. */
        {6, 2, 2 + 0.5 + 0.5 + 0.75 + 2, 2 + 3.0 / 6 + 2.0 / 6 + 2 * 1.0 / 6},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Network n = {.device = DEVICE_CPU, .bytes_per_s = 1e6};
        n.ranks = cases[i].ranks, n.hosts = cases[i].hosts;
        double chunk = (4 << 20) / 0.93e6;
        CHECK_CLOSE(seconds(n, COLLECTIVE_ALL_REDUCE, 4 << 20) / chunk, cases[i].sum, 0.01);
        CHECK_CLOSE(seconds(n, COLLECTIVE_REDUCE_SCATTER, 4 << 20) / chunk, cases[i].scatter, 0.01);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(two_gpus_as_measured),         TEST(one_rank_costs_nothing),
                          TEST(the_slower_link_decides),      TEST(many_ranks_sum_in_trees),
                          TEST(memory_traffic_by_hand),       TEST(cpus_over_a_slow_network),
                          TEST(cpus_that_are_no_power_of_two)};
    return harness_run(argc, argv, "networks", tests, COUNT(tests));
}
