/* A stable radix sort of a batch's tokens, so that the rows of equal tokens can be summed in the
 * order of the batch. */
#pragma once

#include "core/status.h"

#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

/* Sorts (token, row) by token and then by row: *keys and *rows (count each) lie in `memory`, which
 * holds
 * 4 * count + 256 * ceil(count / 2048) numbers: two lists of tokens, two of rows, and what is
 * counted. */
Status sort_tokens(const int32_t *tokens, int64_t count, int64_t V, void *memory,
                   const int32_t **keys, const int32_t **rows, cudaStream_t stream);

/* Where sort_tokens has left them. */
void sorted_tokens(void *memory, int64_t count, int64_t V, const int32_t **keys,
                   const int32_t **rows);
