/* Element types. The CPU computes in f32, f64 (for gradient checks) and bf16; f16 runs on GPUs
 * only. The eight-bit types (core/float8.h) hold scaled operands of products. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum DType {
    DTYPE_F32,
    DTYPE_F64,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_I32,
    DTYPE_I64,
    DTYPE_U16,
    DTYPE_U8,
    DTYPE_F8E4M3,
    DTYPE_F8E5M2,
    DTYPE_COUNT
} DType;

/* Sets of dtypes, one bit each. */
#define DTYPE_BIT(dtype) (1u << (dtype))
#define DTYPES_HALF (DTYPE_BIT(DTYPE_F16) | DTYPE_BIT(DTYPE_BF16))
#define DTYPES_REAL (DTYPE_BIT(DTYPE_F32) | DTYPES_HALF) /* the dtypes that a GPU computes in */
#define DTYPES_F32_F64 (DTYPE_BIT(DTYPE_F32) | DTYPE_BIT(DTYPE_F64))
#define DTYPES_CPU (DTYPES_F32_F64 | DTYPE_BIT(DTYPE_BF16)) /* those that it computes in */
#define DTYPES_F8 (DTYPE_BIT(DTYPE_F8E4M3) | DTYPE_BIT(DTYPE_F8E5M2))
#define DTYPES_ALL (~0u)

/* Bytes of one element. */
size_t dtype_size(DType dtype);

/* The dtype of sums, statistics and gradients of weights beside tensors of `dtype`: f64 for f64,
 * else f32. */
DType dtype_wide(DType dtype);

/* "f32", "bf16", ...: the name in messages and plans. */
const char *dtype_name(DType dtype);

#ifdef __cplusplus
}
#endif
