/* A stable radix sort of a batch's tokens, to sum the rows of equal tokens in batch order. */
#pragma once

#include "core/status.h"

#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

/* Sorts (token, row) by token and then by row. *keys and *rows (count each) lie in `memory`, which
 * holds 4 * count + 256 * ceil(count / 2048) numbers: two lists of tokens, two of rows, and the
 * counts. */
Status sort_tokens(const int32_t *tokens, int64_t count, int64_t V, void *memory,
                   const int32_t **keys, const int32_t **rows, cudaStream_t stream);

/* The location of the result of sort_tokens. */
void sorted_tokens(void *memory, int64_t count, int64_t V, const int32_t **keys,
                   const int32_t **rows);
