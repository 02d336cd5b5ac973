/* Every CPU kernel file is compiled for f32, for f64 (for gradient checks) and for bf16. `stored`
 * is the element type of the tensors of that dtype; `real` is that of the arithmetic, of sums,
 * statistics and gradients of weights: in bf16 it is float, elsewhere it is `stored`. KERNEL(x) is
 * the symbol x_cpu_f32, x_cpu_f64 or x_cpu_bf16, and BLAS(gemm) is cblas_sgemm or cblas_dgemm, for
 * `real`. */
#pragma once

#include "core/bfloat16.h"

#include <cblas.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef REAL real;

#define REAL_JOIN_(name, suffix) name##_cpu_##suffix
#define REAL_JOIN(name, suffix) REAL_JOIN_(name, suffix)
#define KERNEL(name) REAL_JOIN(name, REAL_NAME)

#define STORED_f32 float
#define STORED_f64 double
#define STORED_bf16 Bfloat16
#define STORED_JOIN_(suffix) STORED_##suffix
#define STORED_JOIN(suffix) STORED_JOIN_(suffix)
typedef STORED_JOIN(REAL_NAME) stored;

#define LOAD_f32(x) (x)
#define LOAD_f64(x) (x)
#define LOAD_bf16(x) bfloat16_value(x)
#define LOAD_JOIN_(suffix, x) LOAD_##suffix(x)
#define LOAD_JOIN(suffix, x) LOAD_JOIN_(suffix, x)
static inline real load(stored x) { return LOAD_JOIN(REAL_NAME, x); }

#define STORE_f32(x) (x)
#define STORE_f64(x) (x)
#define STORE_bf16(x) bfloat16_from(x)
#define STORE_JOIN_(suffix, x) STORE_##suffix(x)
#define STORE_JOIN(suffix, x) STORE_JOIN_(suffix, x)
static inline stored store(real x) { return STORE_JOIN(REAL_NAME, x); }

#define BLAS_f32(name) cblas_s##name
#define BLAS_f64(name) cblas_d##name
#define BLAS_bf16(name) cblas_s##name
#define BLAS_JOIN_(suffix, name) BLAS_##suffix(name)
#define BLAS_JOIN(suffix, name) BLAS_JOIN_(suffix, name)
#define BLAS(name) BLAS_JOIN(REAL_NAME, name)

/* e^x without a library call, so that loops vectorize: 2^n times a polynomial on [-ln2/2, ln2/2].
 * Error at most 2 ulp; 0 below -87.3, infinity above 88.3; NaN for NaN. */
static inline float exp_f32(float x) {
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float clamped = x > 88.72f ? 88.72f : x;
    float n = (clamped * 1.44269504f + round) - round;
    float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
    float poly = 1.9875691500e-4f;
    poly = poly * r + 1.3981999507e-3f;
    poly = poly * r + 8.3334519073e-3f;
    poly = poly * r + 4.1665795894e-2f;
    poly = poly * r + 1.6666665459e-1f;
    poly = poly * r + 5.0000001201e-1f;
    float value = poly * r * r + r + 1.0f;
    int32_t bits = ((int32_t)(n > -126.0f ? n : -126.0f) + 127)
                   << 23; /* -126 for a NaN, which has no integer value */
    float power;
    memcpy(&power, &bits, sizeof power);
    return x < -87.3f ? 0.0f : value * power;
}

static inline double exp_f64(double x) { return exp(x); }

/* tanh without a library call: a polynomial near 0, else by e^2x. Error at most 2 ulp; NaN for NaN.
 * Source of the polynomial: Cephes, tanhf. */
static inline float tanh_f32(float x) {
    float size = fabsf(x), square = x * x;
    float poly = -5.70498872745e-3f;
    poly = poly * square + 2.06390887954e-2f;
    poly = poly * square - 5.37397155531e-2f;
    poly = poly * square + 1.33314422036e-1f;
    poly = poly * square - 3.33332819422e-1f;
    float far = 1.0f - 2.0f / (exp_f32(2.0f * size) + 1.0f);
    return size < 0.625f ? poly * square * x + x : copysignf(far, x);
}

static inline double tanh_f64(double x) { return tanh(x); }

static inline float sqrt_f32(float x) { return sqrtf(x); }

static inline double sqrt_f64(double x) { return sqrt(x); }

#define MATH_f32(name) name##_f32
#define MATH_f64(name) name##_f64
#define MATH_bf16(name) name##_f32
#define MATH_JOIN_(suffix, name) MATH_##suffix(name)
#define MATH_JOIN(suffix, name) MATH_JOIN_(suffix, name)
#define real_exp MATH_JOIN(REAL_NAME, exp)
#define real_tanh MATH_JOIN(REAL_NAME, tanh)
#define real_sqrt MATH_JOIN(REAL_NAME, sqrt)

/* Whether a tensor is copied to be computed on as `real`. */
enum { IS_NARROW = sizeof(stored) < sizeof(real) };

static inline void values_load(real *out, const stored *x, int64_t count) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) out[i] = load(x[i]);
}

static inline void values_store(stored *out, const real *x, int64_t count) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) out[i] = store(x[i]);
}

/* Divides `count` items into `parts` nearly equal ranges: part i is [*first, *end). Sums over a
 * fixed number of parts, added in order, do not depend on the number of threads. */
static inline void range_part(int64_t count, int64_t parts, int64_t i, int64_t *first,
                              int64_t *end) {
    *first = count * i / parts;
    *end = count * (i + 1) / parts;
}
