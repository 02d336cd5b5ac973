/* The timed choices on disk (core/perf/cache_file.h), one file per GPU model and cuBLASLt version.
 * One line per shape: `KEY = fused microseconds algorithm-in-hex`. Without a usable file, all
 * functions do nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct MatmulChoice {
    bool fused;
    double us; /* measured time; 0 if there was no memory to time it. Kept so that a resumed run
                  makes the same choice */
    uint64_t algo[8]; /* a cublasLtMatmulAlgo_t */
} MatmulChoice;

/* Opens the file and waits for its lock, so one process times and the others read; -1 if there is
 * no file. */
int matmul_cache_lock(const char *gpu, size_t version);
bool matmul_cache_find(int cache, const char *key, MatmulChoice *out);
void matmul_cache_add(int cache, const char *key, const MatmulChoice *choice);
void matmul_cache_unlock(int cache);

#ifdef __cplusplus
}
#endif
