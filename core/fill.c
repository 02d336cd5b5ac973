#include "core/fill.h"

#include "core/convert.h"
#include "core/rng.h"

#include <math.h>
#include <stdlib.h>

static double normal(uint64_t seed, int64_t i) {
    Philox words = philox(seed, (uint64_t)i, 0);
    double radius = sqrt(-2 * log(1 - (double)rng_uniform(words.word[0])));
    return radius * cos(2 * M_PI * (double)rng_uniform(words.word[1]));
}

Status fill_normal(Device *device, const Tensor *t, uint64_t seed) {
    void *values = malloc(tensor_bytes(t));
    if (values == NULL) return ERROR(STATUS_FAILURE, "out of memory for numbers to compute on");
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < tensor_count(t); i++) real_store(values, t->dtype, i, normal(seed, i));
    Status status = device_upload(device, t, values);
    free(values);
    return status;
}
