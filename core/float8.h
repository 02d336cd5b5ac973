/* The eight-bit floating-point formats.
 *
 *            sign exponent mantissa  bias  largest  smallest normal, subnormal
 *   f8e4m3   1    4        3         7     448      2^-6,  2^-9    no infinity; NaN: 0x7F, 0xFF
 *   f8e5m2   1    5        2         15    57344    2^-14, 2^-16   infinity and NaN of IEEE 754
 *
 * Conversion rounds to nearest, ties to even. A finite value beyond the largest becomes the largest
 * (it saturates). NaN and infinity become NaN, so an overflow in an earlier op stays visible.
 * Source: Micikevicius et al., arXiv:2209.05433, table 1. Header-only, for C and CUDA. */
#pragma once

#include "core/dtype.h"

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define FLOAT8_INLINE static inline __host__ __device__
#else
#define FLOAT8_INLINE static inline
#endif

FLOAT8_INLINE float float8_largest(DType dtype) {
    return dtype == DTYPE_F8E4M3 ? 448.0f : 57344.0f;
}

/* The code of `value` in a format with these numbers of bits. Adding 2^23 to a subnormal in units
 * of the last place rounds it to an integer, which is its code. */
FLOAT8_INLINE uint8_t float8_encode(float value, int mantissa_bits, int bias, uint32_t largest) {
    uint32_t bits, sign, code;
    int shift = 23 - mantissa_bits;
    memcpy(&bits, &value, sizeof bits);
    sign = bits >> 24 & 0x80;
    bits &= 0x7FFFFFFF;
    if (bits >= 0x7F800000) return (uint8_t)(sign | 0x7F);
    if (bits >> 23 > (uint32_t)(127 - bias)) {
        bits += (1u << (shift - 1)) - 1 + (bits >> shift & 1);
        code = (bits >> shift) - ((uint32_t)(127 - bias) << mantissa_bits);
    } else {
        float size, unit = (float)(1u << (bias - 1 + mantissa_bits));
        memcpy(&size, &bits, sizeof size);
        size = size * unit + 8388608.0f;
        memcpy(&code, &size, sizeof code);
        code &= 0x7FFFFF;
    }
    return (uint8_t)(sign | (code > largest ? largest : code));
}

FLOAT8_INLINE uint8_t float8_from(DType dtype, float value) {
    return dtype == DTYPE_F8E4M3 ? float8_encode(value, 3, 7, 0x7E)
                                 : float8_encode(value, 2, 15, 0x7B);
}

/* The value of a code of a format with these numbers of bits. */
FLOAT8_INLINE float float8_decode(uint8_t code, int mantissa_bits, int bias) {
    uint32_t size = code & 0x7F, sign = (uint32_t)(code & 0x80) << 24, bits;
    float value;
    if (size >> mantissa_bits == 0) {
        value = (float)size / (float)(1u << (bias - 1 + mantissa_bits));
        memcpy(&bits, &value, sizeof bits);
    } else {
        bits = (size << (23 - mantissa_bits)) + ((uint32_t)(127 - bias) << 23);
    }
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

FLOAT8_INLINE float float8_value(DType dtype, uint8_t code) {
    uint32_t nan = 0x7FC00000, infinity = 0x7F800000;
    float value = dtype == DTYPE_F8E4M3 ? float8_decode(code, 3, 7) : float8_decode(code, 2, 15);
    uint32_t size = code & 0x7F;
    if (size == 0x7F || (dtype == DTYPE_F8E5M2 && size > 0x7C)) {
        memcpy(&value, &nan, sizeof value);
    } else if (dtype == DTYPE_F8E5M2 && size == 0x7C) {
        infinity |= (uint32_t)(code & 0x80) << 24;
        memcpy(&value, &infinity, sizeof value);
    }
    return value;
}

/* The scale of a tensor whose largest element is `largest_element`: the smallest power of two s
 * with largest_element / s <= float8_largest(dtype), so that x / s is exact. It stays within
 * 2^-100 and 2^100. largest_element must be positive and finite. */
FLOAT8_INLINE float float8_scale(DType dtype, float largest_element) {
    float ratio = largest_element / float8_largest(dtype), scale;
    uint32_t bits;
    memcpy(&bits, &ratio, sizeof bits);
    uint32_t exponent = (bits >> 23) + ((bits & 0x7FFFFF) != 0);
    exponent = exponent < 27 ? 27 : exponent > 227 ? 227 : exponent;
    bits = exponent << 23;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}

/* The same for a largest element given by its bits, without its sign; `otherwise` if it is 0 or not
 * finite. */
FLOAT8_INLINE float float8_scale_of_bits(DType dtype, uint32_t bits, float otherwise) {
    float largest_element;
    if (bits == 0 || bits >= 0x7F800000) return otherwise;
    memcpy(&largest_element, &bits, sizeof largest_element);
    return float8_scale(dtype, largest_element);
}
