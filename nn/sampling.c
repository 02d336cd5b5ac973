#include "nn/sampling.h"

#include "core/rng.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* What an element counts for: 1, or its value. */
typedef enum Weighing { WEIGH_ONE, WEIGH_VALUE } Weighing;

static double weight_of(const float *x, int64_t first, int64_t end, Weighing weighing) {
    double sum = 0;
    if (weighing == WEIGH_ONE) return (double)(end - first);
    for (int64_t i = first; i < end; i++) sum += (double)x[i];
    return sum;
}

static float median(float a, float b, float c) {
    float low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

/* Reorders x[first, end): those above the pivot, those equal to it from *equal on, those below it
 * from *below on. */
static void partition(float *x, int64_t first, int64_t end, float pivot, int64_t *equal,
                      int64_t *below) {
    int64_t low = first, high = end;
    for (int64_t i = first; i < high;) {
        float value = x[i];
        if (value > pivot) {
            x[i++] = x[low];
            x[low++] = value;
        } else if (value < pivot) {
            x[i] = x[--high];
            x[high] = value;
        } else {
            i++;
        }
    }
    *equal = low;
    *below = high;
}

/* The greatest value such that the elements of x from it upward weigh `wanted` or more; -inf if all
 * together weigh less. Reorders x. Source: Hoare's selection (quickselect), by weight. */
static float threshold_find(float *x, int64_t n, double wanted, Weighing weighing) {
    int64_t first = 0, end = n;
    double above = 0;
    while (first < end) {
        float pivot = median(x[first], x[first + (end - first) / 2], x[end - 1]);
        int64_t equal, below;
        partition(x, first, end, pivot, &equal, &below);
        double upper = above + weight_of(x, first, equal, weighing),
               through = upper + weight_of(x, equal, below, weighing);
        if (upper >= wanted) {
            end = equal;
        } else if (through >= wanted) {
            return pivot;
        } else {
            above = through;
            first = below;
        }
    }
    return -INFINITY;
}

static int32_t likeliest(const float *logits, int64_t V) {
    int64_t best = 0;
    for (int64_t v = 1; v < V; v++) best = logits[v] > logits[best] ? v : best;
    return (int32_t)best;
}

static bool is_distribution(const float *logits, int64_t V, int32_t best) {
    bool has_nan = false;
    for (int64_t v = 0; v < V; v++) has_nan |= isnan(logits[v]);
    return !has_nan && isfinite(logits[best]);
}

/* The smallest logit of the top_k. */
static float logit_floor(const Sampling *sampling, const float *logits, int64_t V, float *scratch) {
    if (sampling->top_k <= 0 || sampling->top_k >= V) return -INFINITY;
    memcpy(scratch, logits, (size_t)V * sizeof *scratch);
    return threshold_find(scratch, V, (double)sampling->top_k, WEIGH_ONE);
}

/* Clears the weights that are not in the top_p; returns the sum of the others. */
static double nucleus_keep(double top_p, float *weights, int64_t V, double sum, float *scratch) {
    int64_t n = 0;
    if (top_p >= 1) return sum;
    for (int64_t v = 0; v < V; v++) {
        if (weights[v] > 0) scratch[n++] = weights[v];
    }
    float floor = threshold_find(scratch, n, top_p * sum, WEIGH_VALUE);
    sum = 0;
    for (int64_t v = 0; v < V; v++) {
        if (weights[v] < floor) weights[v] = 0;
        sum += (double)weights[v];
    }
    return sum;
}

/* Returns `best` if rounding leaves no other choice. */
static int32_t weighted_draw(const float *weights, int64_t V, double wanted, int32_t best) {
    for (int64_t v = 0; v < V; v++) {
        wanted -= (double)weights[v];
        if (wanted < 0) return (int32_t)v;
    }
    return best;
}

Status sampling_draw(const Sampling *sampling, uint64_t index, float *logits, int64_t V,
                     float *scratch, int32_t *token) {
    int32_t best = *token = likeliest(logits, V);
    if (!is_distribution(logits, V, best)) {
        return ERROR(STATUS_FAILURE,
                     "the model's logits are not finite, so no token can be drawn; its weights are "
                     "broken: use an earlier checkpoint");
    }
    if (sampling->temperature <= 0) return OK;
    float floor = logit_floor(sampling, logits, V, scratch), top = logits[best];
    double sum = 0;
    for (int64_t v = 0; v < V; v++) {
        logits[v] =
            logits[v] < floor ? 0 : (float)exp((double)(logits[v] - top) / sampling->temperature);
        sum += (double)logits[v];
    }
    sum = nucleus_keep(sampling->top_p, logits, V, sum, scratch);
    double drawn = (double)rng_uniform(philox(sampling->seed, index, 0).word[0]);
    *token = weighted_draw(logits, V, drawn * sum, best);
    return OK;
}
