#include "core/perf/fill.h"

#include "core/convert.h"
#include "core/rng.h"

#include <math.h>
#include <stdlib.h>

enum { DISTINCT = 1 << 20 }; /* distinct numbers; a larger tensor repeats them */

static double normal(uint64_t seed, int64_t i) {
    Philox words = philox(seed, (uint64_t)i, 0);
    double radius = sqrt(-2 * log(1 - (double)rng_uniform(words.word[0])));
    return radius * cos(2 * M_PI * (double)rng_uniform(words.word[1]));
}

static void values_draw(const Tensor *t, uint64_t seed, double *distinct, void *values) {
    int64_t count = tensor_count(t);
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < (count < DISTINCT ? count : DISTINCT); i++)
            distinct[i] = normal(seed, i);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < count; i++) real_store(values, t->dtype, i, distinct[i % DISTINCT]);
    }
}

Status fill_normal(Device *device, const Tensor *t, uint64_t seed) {
    void *values = malloc(tensor_bytes(t));
    double *distinct = malloc(DISTINCT * sizeof *distinct);
    Status status = OK;
    if (values == NULL || distinct == NULL) {
        status = OUT_OF_MEMORY("random numbers");
    } else {
        values_draw(t, seed, distinct, values);
        status = device_upload(device, t, values);
    }
    free(distinct);
    free(values);
    return status;
}
