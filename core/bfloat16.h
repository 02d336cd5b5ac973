/* bf16, the upper half of an f32: storage of the CPU's sixteen-bit kernels and of files. Rounds to
 * nearest, ties to even; overflow gives infinity, and a NaN stays a NaN and becomes quiet. */
#pragma once

#include <stdint.h>
#include <string.h>

typedef struct Bfloat16 {
    uint16_t bits;
} Bfloat16;

static inline float bfloat16_value(Bfloat16 x) {
    uint32_t bits = (uint32_t)x.bits << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline Bfloat16 bfloat16_from(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = bits + 0x7FFFu + (bits >> 16 & 1);
    bits = value != value ? bits | 0x400000u : rounded;
    return (Bfloat16){(uint16_t)(bits >> 16)};
}
