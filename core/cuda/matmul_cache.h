/* The timed choices on disk (core/perf/cache_file.h), one file a GPU model and cuBLASLt version.
 * One line a shape: `KEY = fused microseconds algorithm-in-hex`. Where no file can be kept, every
 * function here does nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct MatmulChoice {
    bool fused;
    double us; /* what it took when it was chosen; 0 where there was no room to time it: kept, so
                  that a run resumes alike */
    uint64_t algo[8]; /* a cublasLtMatmulAlgo_t */
} MatmulChoice;

/* Opens the file and waits for its lock, so that one process times and the others read; -1 where
 * there is none. */
int matmul_cache_lock(const char *gpu, size_t version);
bool matmul_cache_find(int cache, const char *key, MatmulChoice *out);
void matmul_cache_add(int cache, const char *key, const MatmulChoice *choice);
void matmul_cache_unlock(int cache);

#ifdef __cplusplus
}
#endif
