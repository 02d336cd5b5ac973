#include "core/cuda/matmul_cache.h"

#include "core/perf/cache_file.h"

#include <inttypes.h>
#include <stdio.h>

int matmul_cache_lock(const char *gpu, size_t version) {
    char text[32];
    snprintf(text, sizeof text, "%zu", version);
    return cache_lock("matmul", gpu, text);
}

static bool choice_parse(const char *value, void *out) {
    MatmulChoice *choice = out;
    int fused;
    uint64_t *a = choice->algo;
    int fields =
        sscanf(value,
               "%d %lf %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
               " %" SCNx64 " %" SCNx64,
               &fused, &choice->us, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5], &a[6], &a[7]);
    choice->fused = fused == 1;
    return fields == 10;
}

bool matmul_cache_find(int cache, const char *key, MatmulChoice *out) {
    return cache_find(cache, key, choice_parse, out);
}

void matmul_cache_add(int cache, const char *key, const MatmulChoice *choice) {
    char value[256];
    const uint64_t *a = choice->algo;
    snprintf(value, sizeof value,
             "%d %.1f %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64
             " %" PRIx64 " %" PRIx64,
             choice->fused, choice->us, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
    cache_add(cache, key, value);
}

void matmul_cache_unlock(int cache) { cache_unlock(cache); }
