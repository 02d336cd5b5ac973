/* Products of bf16 matrices with f32 sums on the CPU, by oneDNN: out = a b, + bias, or += a b.
 *
 *   a (rows, depth)   b (depth, columns)   bias (columns), of bf16   out (rows, columns)
 *
 * A turned matrix lies in memory as its transpose. Matrices are dense. Source: the oneDNN
 * specification, primitive matmul. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ProductShape {
    int64_t rows, columns, depth;
    bool a_turned, b_turned;
    bool has_bias, accumulate;
    bool wide; /* out is f32, else bf16 */
} ProductShape;

/* Why this build on this processor has no such products; NULL if it has. */
const char *product_bf16_refusal(void);

/* Bytes of scratch memory of a product by so many threads. */
size_t product_bf16_bytes(const ProductShape *shape, int threads);

NODISCARD Status product_bf16(const ProductShape *shape, const void *a, const void *b,
                              const void *bias, void *out, void *scratch);
