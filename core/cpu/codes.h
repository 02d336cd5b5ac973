/* Writes the codes of f32 values and observes the values, one at a time: core/ops/quantize.h. */
#pragma once

#include "core/cpu/real.h"
#include "core/float8.h"
#include "core/ops/quantize.h"

/* Where the codes of a tensor go. Without the layouts nothing is to be written. */
typedef struct Codes {
    uint8_t *q, *transposed; /* may be NULL */
    DType dtype;
    float scale;
    int64_t rows, columns;
} Codes;

static inline Codes codes_open(const Tensor *q, const Tensor *transposed, const Tensor *scale,
                               int64_t rows, int64_t columns) {
    Codes codes = {.rows = rows, .columns = columns};
    if (q == NULL && transposed == NULL) return codes;
    codes.q = q == NULL ? NULL : tensor_data(q);
    codes.transposed = transposed == NULL ? NULL : tensor_data(transposed);
    codes.dtype = (q != NULL ? q : transposed)->dtype;
    codes.scale = *(const float *)tensor_data(scale);
    return codes;
}

/* Of the values so far: the bits of the greatest |v|, and the number of finite ones that saturated.
 */
typedef struct Observation {
    uint32_t largest, saturated;
} Observation;

static inline uint32_t size_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7FFFFFFF;
}

static inline void code_store(const Codes *codes, int64_t row, int64_t j, float value,
                              Observation *seen) {
    float scaled = value / codes->scale;
    uint32_t bits = size_bits(value);
    uint8_t code = float8_from(codes->dtype, scaled);
    seen->largest = bits > seen->largest ? bits : seen->largest;
    seen->saturated += bits < 0x7F800000 && fabsf(scaled) > float8_largest(codes->dtype);
    if (codes->q != NULL) codes->q[row * codes->columns + j] = code;
    if (codes->transposed != NULL) codes->transposed[j * codes->rows + row] = code;
}

/* Adds an observation to that of a tensor; `observed` may be NULL. */
static inline void observation_add(const Tensor *observed, Observation seen) {
    if (observed == NULL) return;
    uint32_t *sum = tensor_data(observed);
    if (seen.largest > sum[OBSERVED_LARGEST]) sum[OBSERVED_LARGEST] = seen.largest;
    sum[OBSERVED_SATURATED] += seen.saturated;
}
