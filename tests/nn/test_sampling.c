/* Sampling: which tokens top-k and top-p keep, and how often each is drawn. */
#include "core/rng.h"
#include "nn/sampling.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 3000, DRAWS = 20000 };

static float logits[MOST], copy[MOST], scratch[MOST];

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Normally distributed logits, rounded so that many are equal if `step` is large. */
static void logits_fill(uint64_t seed, int64_t V, double step) {
    for (int64_t v = 0; v < V; v++) {
        Philox w = philox(seed, (uint64_t)v, 0);
        double radius = sqrt(-2 * log((double)rng_uniform(w.word[0]) + 1e-12));
        double normal = radius * cos(6.283185307 * (double)rng_uniform(w.word[1]));
        logits[v] = (float)(round(3 * normal / step) * step);
    }
}

/* The smallest logit that sorting keeps: of the top_k, then of these of the top_p. */
static float floor_by_sorting(const Sampling *s, int64_t V) {
    double sum = 0, part = 0;
    memcpy(copy, logits, (size_t)V * sizeof *copy);
    qsort(copy, (size_t)V, sizeof *copy, ascending);
    int64_t first = s->top_k > 0 && s->top_k < V ? V - s->top_k : 0;
    while (first > 0 && copy[first - 1] == copy[first]) first--; /* equal ones */
    for (int64_t v = first; v < V; v++) sum += exp((double)(copy[v] - copy[V - 1]));
    for (int64_t v = V - 1; v >= first; v--) {
        part += exp((double)(copy[v] - copy[V - 1]));
        if (part >= s->top_p * sum) return copy[v];
    }
    return copy[first];
}

/* Draws many tokens: none is below the floor, and the floor itself occurs among the kept ones. */
static void kept_as_sorted(Sampling s, int64_t V, double step) {
    static float drawn[MOST];
    int32_t token;
    logits_fill(s.seed, V, step);
    float floor = floor_by_sorting(&s, V);
    memcpy(copy, logits, sizeof copy);
    CHECK_OK(sampling_draw(&s, 0, logits, V, scratch, &token));
    memcpy(drawn, logits, sizeof drawn); /* the weights of the kept tokens */
    for (int64_t v = 0; v < V; v++) {
        bool is_kept = drawn[v] > 0, is_wanted = copy[v] >= floor;
        bool is_tiny = exp((double)copy[v] - (double)copy[token]) < 1e-30;
        if (is_kept != is_wanted && !is_tiny) {
            printf("\n    V %lld, k %lld, p %g: logit %g, floor %g", (long long)V,
                   (long long)s.top_k, s.top_p, (double)copy[v], (double)floor);
            CHECK(is_kept == is_wanted);
            return;
        }
    }
    CHECK(copy[token] >= floor);
}

static void the_tokens_that_sorting_keeps(void) {
    static const int64_t sizes[] = {1, 2, 7, 100, MOST}, ks[] = {0, 1, 2, 50, 200};
    static const double ps[] = {1, 0.95, 0.5, 0.01};
    uint64_t seed = 1;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t k = 0; k < COUNT(ks); k++) {
            for (size_t p = 0; p < COUNT(ps); p++) {
                kept_as_sorted((Sampling){1, ks[k], ps[p], seed++}, sizes[i], 1e-3);
                kept_as_sorted((Sampling){1, ks[k], ps[p], seed++}, sizes[i], 1.0);
            }
        }
    }
}

/* Of probabilities 0.5, 0.3, 0.15, 0.05 and top-p 0.7, the first two: 5 to 3. */
static void tokens_are_drawn_by_their_probability(void) {
    static const double p[] = {0.15, 0.5, 0.05, 0.3};
    Sampling s = {.temperature = 1, .top_p = 0.7, .seed = 3};
    int counts[4] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) {
        int32_t token;
        for (int v = 0; v < 4; v++) logits[v] = (float)log(p[v]);
        if (!CHECK_OK(sampling_draw(&s, i, logits, 4, scratch, &token))) return;
        counts[token]++;
    }
    CHECK(counts[0] == 0 && counts[2] == 0);
    CHECK_CLOSE((double)counts[1] / DRAWS, 0.625, 0.01);
}

static void logits_that_are_no_distribution(void) {
    Sampling s = {.temperature = 1, .top_p = 1};
    int32_t token;
    float bad[] = {0, NAN, 1}, infinite[] = {0, INFINITY}, hidden[] = {-INFINITY, 2, -INFINITY};
    CHECK_ERROR(sampling_draw(&s, 0, bad, 3, scratch, &token), STATUS_FAILURE, "not finite");
    CHECK_ERROR(sampling_draw(&s, 0, infinite, 2, scratch, &token), STATUS_FAILURE, "not finite");
    s.top_k = 2, s.top_p = 0.5;
    CHECK_OK(sampling_draw(&s, 0, hidden, 3, scratch, &token));
    CHECK(token == 1);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(the_tokens_that_sorting_keeps),
                          TEST(tokens_are_drawn_by_their_probability),
                          TEST(logits_that_are_no_distribution)};
    return harness_run(argc, argv, "sampling", tests, COUNT(tests));
}
