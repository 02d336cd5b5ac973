/* Conversion of one tensor element to and from double. Rounds to nearest, ties to even. */
#pragma once

#include "core/bfloat16.h"
#include "core/float8.h"

/* data[i] = `value` rounded to `dtype`, which is real. Overflow gives infinity; in eight bits see
 * core/float8.h. */
static inline void real_store(void *data, DType dtype, int64_t i, double value) {
    float single = (float)value;
    switch (dtype) {
    case DTYPE_F64: ((double *)data)[i] = value; break;
    case DTYPE_F16: ((_Float16 *)data)[i] = (_Float16)single; break;
    case DTYPE_BF16: ((Bfloat16 *)data)[i] = bfloat16_from(single); break;
    case DTYPE_F8E4M3:
    case DTYPE_F8E5M2: ((uint8_t *)data)[i] = float8_from(dtype, single); break;
    default: ((float *)data)[i] = single;
    }
}

static inline double real_load(const void *data, DType dtype, int64_t i) {
    switch (dtype) {
    case DTYPE_F64: return ((const double *)data)[i];
    case DTYPE_F16: return (double)((const _Float16 *)data)[i];
    case DTYPE_BF16: return (double)bfloat16_value(((const Bfloat16 *)data)[i]);
    case DTYPE_F8E4M3:
    case DTYPE_F8E5M2: return (double)float8_value(dtype, ((const uint8_t *)data)[i]);
    default: return (double)((const float *)data)[i];
    }
}
