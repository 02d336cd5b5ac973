#include "dist/buckets.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

static const BucketSizes SMALL = {100, 250, 16};

static void merges_neighbors_in_completion_order(void) {
    /* Backward completes the last gradient first; 16 bytes of padding lie between. */
    const GradientRange gradients[] = {{216, 100}, {116, 84}, {0, 100}};
    BucketRange out[3];
    int64_t n = 0;
    REQUIRE_OK(buckets_cut(gradients, 3, SMALL, out, &n));
    CHECK(n == 2);
    CHECK(out[0].offset == 216 && out[0].bytes == 100 && out[0].bucket == 0 && out[0].after == 0);
    CHECK(out[1].offset == 0 && out[1].bytes == 200 && out[1].bucket == 1 && out[1].after == 2);
}

static void does_not_bridge_wide_gaps(void) {
    const GradientRange gradients[] = {{0, 60}, {77, 23}, {116, 20}};
    BucketRange out[3];
    int64_t n = 0;
    REQUIRE_OK(buckets_cut(gradients, 3, SMALL, out, &n));
    CHECK(n == 2);
    CHECK(out[0].offset == 0 && out[0].bytes == 60 && out[0].after == 2);
    CHECK(out[1].offset == 77 && out[1].bytes == 59 && out[1].bucket == 0);
}

static void does_not_swallow_another_bucket(void) {
    /* The gradient between two of the second bucket belongs to the first. */
    const GradientRange gradients[] = {{100, 100}, {0, 100}, {200, 100}};
    BucketRange out[3];
    int64_t n = 0;
    REQUIRE_OK(buckets_cut(gradients, 3, (BucketSizes){100, 250, 4096}, out, &n));
    CHECK(n == 3);
    CHECK(out[1].offset == 0 && out[1].bytes == 100 && out[2].offset == 200 && out[2].bucket == 1);
}

static void a_large_gradient_is_one_range(void) {
    const GradientRange gradients[] = {{0, 100000}};
    BucketRange out[1];
    int64_t n = 0;
    REQUIRE_OK(buckets_cut(gradients, 1, SMALL, out, &n));
    CHECK(n == 1 && out[0].bytes == 100000 && out[0].after == 0);
    REQUIRE_OK(buckets_cut(NULL, 0, SMALL, NULL, &n));
    CHECK(n == 0);
}

static void refuses_overlaps(void) {
    const GradientRange gradients[] = {{0, 100}, {99, 10}};
    BucketRange out[2];
    int64_t n = 0;
    CHECK_ERROR(buckets_cut(gradients, 2, SMALL, out, &n), STATUS_FAILURE, "overlap");
}

/* Random layouts against the properties that must hold: each byte of each gradient is in exactly one range, of its own
 * bucket, which starts after all gradients it covers; buckets but the last hold what they should. */
static void random_layouts_hold_the_rules(void) {
    enum { N = 40, ROUNDS = 500 };
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        srand(seed);
        GradientRange placed[N], order[N];
        size_t offset = 0;
        for (int i = 0; i < N; i++) {
            placed[i] = (GradientRange){offset, 1 + (size_t)rand() % 90};
            offset += placed[i].bytes + (size_t)rand() % 24;
        }
        for (int i = 0; i < N; i++) order[i] = placed[N - 1 - i];
        for (int i = 0; i < N; i++) {
            int j = rand() % 3 == 0 ? rand() % N : i;
            GradientRange swap = order[i];
            order[i] = order[j];
            order[j] = swap;
        }
        BucketRange out[N];
        int64_t n = 0;
        REQUIRE_OK(buckets_cut(order, N, SMALL, out, &n));
        size_t held[N] = {0};
        for (int i = 0; i < N; i++) {
            int covering = 0;
            for (int64_t k = 0; k < n; k++) {
                size_t end = out[k].offset + out[k].bytes;
                if (order[i].offset >= end || order[i].offset + order[i].bytes <= out[k].offset) continue;
                covering++;
                CHECK(order[i].offset >= out[k].offset && order[i].offset + order[i].bytes <= end);
                CHECK(out[k].after >= i);
                held[out[k].bucket] += order[i].bytes;
            }
            CHECK(covering == 1);
        }
        for (int64_t k = 1; k < n; k++) {
            CHECK(out[k].bucket == out[k - 1].bucket || out[k].bucket == out[k - 1].bucket + 1);
            CHECK(out[k].bucket != out[k - 1].bucket || out[k].offset > out[k - 1].offset);
        }
        for (int64_t b = 0; b < out[n - 1].bucket; b++) CHECK(held[b] >= (b == 0 ? SMALL.first : SMALL.other));
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(merges_neighbors_in_completion_order),
        TEST(does_not_bridge_wide_gaps),
        TEST(does_not_swallow_another_bucket),
        TEST(a_large_gradient_is_one_range),
        TEST(refuses_overlaps),
        TEST(random_layouts_hold_the_rules),
    };
    return harness_run(argc, argv, "buckets", tests, COUNT(tests));
}
