/* Conversion of one tensor element to and from double. Rounds to nearest, ties to even. */
#pragma once

#include "core/float8.h"

/* data[i] = `value` rounded to `dtype`, which is real. Overflow gives infinity; in eight bits see
 * core/float8.h. */
static inline void real_store(void *data, DType dtype, int64_t i, double value) {
    float single = (float)value;
    uint32_t bits;
    switch (dtype) {
    case DTYPE_F64: ((double *)data)[i] = value; break;
    case DTYPE_F16: ((_Float16 *)data)[i] = (_Float16)single; break;
    case DTYPE_BF16:
        memcpy(&bits, &single, sizeof bits);
        if (single != single) bits |= 0x400000; /* a NaN stays a NaN and becomes quiet */
        if (single == single) bits += 0x7FFFu + (bits >> 16 & 1);
        ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
        break;
    case DTYPE_F8E4M3:
    case DTYPE_F8E5M2: ((uint8_t *)data)[i] = float8_from(dtype, single); break;
    default: ((float *)data)[i] = single;
    }
}

static inline double real_load(const void *data, DType dtype, int64_t i) {
    float wide;
    uint32_t bits;
    switch (dtype) {
    case DTYPE_F64: return ((const double *)data)[i];
    case DTYPE_F16: return (double)((const _Float16 *)data)[i];
    case DTYPE_BF16:
        bits = (uint32_t)((const uint16_t *)data)[i] << 16;
        memcpy(&wide, &bits, sizeof wide);
        return (double)wide;
    case DTYPE_F8E4M3:
    case DTYPE_F8E5M2: return (double)float8_value(dtype, ((const uint8_t *)data)[i]);
    default: return (double)((const float *)data)[i];
    }
}
