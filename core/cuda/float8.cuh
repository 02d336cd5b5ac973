/* Conversion to eight bits in registers, as core/float8.h defines it but for infinities, which
 * saturate here. */
#pragma once

#include <cuda_fp8.h>
#include <stdint.h>

/* The codes of v[0] to v[3] times `inverse`, in the order of their addresses. */
template <bool E5M2>
static __device__ __forceinline__ uint32_t four_codes(const float *v, float inverse) {
    constexpr __nv_fp8_interpretation_t format = E5M2 ? __NV_E5M2 : __NV_E4M3;
    uint32_t low = __nv_cvt_float2_to_fp8x2(make_float2(v[0] * inverse, v[1] * inverse),
                                            __NV_SATFINITE, format),
             high = __nv_cvt_float2_to_fp8x2(make_float2(v[2] * inverse, v[3] * inverse),
                                             __NV_SATFINITE, format);
    return low | high << 16;
}
